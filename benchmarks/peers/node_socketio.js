// Node.js with the official server, as its documentation starts it: PORT
const { createServer } = require('http');
const { Server } = require('socket.io');

const httpServer = createServer();
const io = new Server(httpServer);
io.on('connection', (socket) => {
  socket.on('__subscribe__', (channel) => socket.join(channel));
  socket.on('message', (message) => {
    if (message.action === 'echo') socket.emit('message', message);
    else if (message.action === 'message') io.to('room-1').emit('message', message);
  });
});
httpServer.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
