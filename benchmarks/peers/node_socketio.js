// Node.js with the official server, as its documentation starts it: PORT. With the URL of a Redis in
// BENCHMARK_BROKER it is one of a cluster, by the official adapter.
const { createServer } = require('http');
const { Server } = require('socket.io');
const { createAdapter } = require('@socket.io/redis-adapter');
const { createClient } = require('redis');

const httpServer = createServer();
const io = new Server(httpServer);
io.on('connection', (socket) => {
  socket.on('__subscribe__', (channel, done) => {
    socket.join(channel);
    done?.(true);
  });
  socket.on('message', (message) => {
    if (message.action === 'echo') socket.emit('message', message);
    else if (message.action === 'message') io.to('room-1').emit('message', message);
  });
});

async function listen(port, url) {
  if (url) {
    const publisher = createClient({ url });
    const subscriber = publisher.duplicate();
    await Promise.all([publisher.connect(), subscriber.connect()]);
    io.adapter(createAdapter(publisher, subscriber));
  }
  httpServer.listen({ port, host: '127.0.0.1', backlog: 4096 });
}
listen(Number(process.argv[2]), process.env.BENCHMARK_BROKER);
