/* The limit: the least that a server can do. One thread, epoll, WebSocket.
 *
 *   limit PORT
 *
 * Everybody is in one room. A data frame that contains "echo" goes back to its sender, one that
 * contains "message" goes to everybody: the frame is built once, and there is one non-blocking
 * send() for each recipient. No JSON, no acknowledgements, no limits, no heartbeat: not a server to
 * use, but what a real one can be compared with.
 *
 * A request whose URL contains EIO=4 gets just enough Engine.IO and Socket.IO to connect, so that
 * Socket.IO clients can be used. Polling is not there.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

static u32 rol(u32 x, int n) { return x << n | x >> (32 - n); }

static void sha1(const u8 *m, size_t n, u8 *out) {
  u32 h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  u8 b[256] = {0};
  memcpy(b, m, n);
  b[n] = 0x80;
  size_t t = (n + 9 + 63) / 64 * 64;
  for (int i = 0; i < 8; i++)
    b[t - 1 - i] = (u64)n * 8 >> (8 * i);
  for (size_t o = 0; o < t; o += 64) {
    u32 w[80];
    for (int i = 0; i < 16; i++)
      w[i] = b[o + 4 * i] << 24 | b[o + 4 * i + 1] << 16 | b[o + 4 * i + 2] << 8 | b[o + 4 * i + 3];
    for (int i = 16; i < 80; i++)
      w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    u32 a = h[0], bb = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 80; i++) {
      u32 f, k;
      if (i < 20)
        f = (bb & c) | (~bb & d), k = 0x5A827999;
      else if (i < 40)
        f = bb ^ c ^ d, k = 0x6ED9EBA1;
      else if (i < 60)
        f = (bb & c) | (bb & d) | (c & d), k = 0x8F1BBCDC;
      else
        f = bb ^ c ^ d, k = 0xCA62C1D6;
      u32 x = rol(a, 5) + f + e + k + w[i];
      e = d;
      d = c;
      c = rol(bb, 30);
      bb = a;
      a = x;
    }
    h[0] += a;
    h[1] += bb;
    h[2] += c;
    h[3] += d;
    h[4] += e;
  }
  for (int i = 0; i < 5; i++)
    for (int j = 0; j < 4; j++)
      out[4 * i + j] = h[i] >> (24 - 8 * j);
}

static void b64(const u8 *s, int n, char *o) {
  static const char *t = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int i = 0; i < n; i += 3) {
    u32 v = s[i] << 16 | (i + 1 < n ? s[i + 1] << 8 : 0) | (i + 2 < n ? s[i + 2] : 0);
    *o++ = t[v >> 18];
    *o++ = t[v >> 12 & 63];
    *o++ = i + 1 < n ? t[v >> 6 & 63] : '=';
    *o++ = i + 2 < n ? t[v & 63] : '=';
  }
  *o = 0;
}

typedef struct {
  int fd, idx;
  u8 open, eio, joined, out;
  u8 *rb;
  u32 rl;
  u8 *wb;
  u32 wl;
} conn;

static conn *room[70000];
static int nroom, ep;
static u8 buf[1 << 18];

static void drop(conn *c) {
  if (c->joined) {
    room[c->idx] = room[--nroom];
    room[c->idx]->idx = c->idx;
  }
  close(c->fd);
  free(c->rb);
  free(c->wb);
  free(c);
}

/* never blocks: what does not fit is kept if a frame was cut, else the frame is dropped */
static void put(conn *c, const u8 *p, size_t n) {
  if (c->wl)
    return;
  ssize_t r = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (r == (ssize_t)n || r <= 0)
    return;
  c->wl = n - r;
  c->wb = realloc(c->wb, c->wl);
  memcpy(c->wb, p + r, c->wl);
  struct epoll_event e = {EPOLLIN | EPOLLOUT, {.ptr = c}};
  epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static size_t frame(u8 *o, const u8 *p, size_t n) {
  size_t h = 0;
  o[h++] = 0x81;
  if (n < 126)
    o[h++] = n;
  else if (n < 65536)
    o[h++] = 126, o[h++] = n >> 8, o[h++] = n;
  else {
    o[h++] = 127;
    for (int i = 7; i >= 0; i--)
      o[h++] = (u64)n >> (8 * i);
  }
  memcpy(o + h, p, n);
  return h + n;
}

static u8 fb[1 << 18];

static void on_msg(conn *c, int op, u8 *p, size_t n) {
  if (op == 9) {
    u8 o[140];
    o[0] = 0x8a;
    o[1] = n;
    memcpy(o + 2, p, n);
    put(c, o, n + 2);
    return;
  }
  if (op != 1 && op != 2)
    return;
  if (c->eio) {
    if (n >= 2 && p[0] == '4' && p[1] == '0') {
      put(c, fb, frame(fb, (u8 *)"40{\"sid\":\"0123456789abcdefghij\"}", 32));
      return;
    }
    if (n < 2 || p[0] != '4' || p[1] != '2')
      return;
  }
  size_t l = n < 64 ? n : 64, f;
  if (memmem(p, l, "\"echo\"", 6)) {
    f = frame(fb, p, n);
    put(c, fb, f);
  } else if (memmem(p, l, "\"action\":\"message\"", 18)) {
    f = frame(fb, p, n);
    for (int i = 0; i < nroom; i++)
      put(room[i], fb, f);
  }
}

static int on_read(conn *c) { /* returns -1 to close */
  size_t have = c->rl;
  if (have)
    memcpy(buf, c->rb, have), c->rl = 0;
  ssize_t r = recv(c->fd, buf + have, sizeof buf - have, 0);
  if (r == 0 || (r < 0 && errno != EAGAIN))
    return -1;
  if (r < 0)
    r = 0;
  u8 *p = buf;
  size_t n = have + r;
  if (!c->open) {
    if (!memmem(p, n, "\r\n\r\n", 4))
      goto keep;
    p[n - 1] = 0;
    char *k = strcasestr((char *)p, "Sec-WebSocket-Key: ");
    if (!k)
      return -1;
    char key[128];
    u8 d[20];
    char acc[40], o[400];
    snprintf(key, sizeof key, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", k + 19);
    sha1((u8 *)key, strlen(key), d);
    b64(d, 20, acc);
    int l = snprintf(o, sizeof o,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                     "Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                     acc);
    c->eio = strstr((char *)p, "EIO=4") != NULL;
    if (c->eio) {
      static const char op[] =
          "0{\"sid\":\"0123456789abcdefghij\",\"upgrades\":[],\"pingInterval\":1000000,"
          "\"pingTimeout\":20000,\"maxPayload\":1000000}";
      l += frame((u8 *)o + l, (u8 *)op, strlen(op));
    }
    put(c, (u8 *)o, l);
    c->open = c->joined = 1;
    c->idx = nroom;
    room[nroom++] = c;
    return 0;
  }
  while (n >= 2) {
    size_t len = p[1] & 127, h = 6;
    if (len == 126) {
      if (n < 4)
        break;
      len = p[2] << 8 | p[3];
      h = 8;
    } else if (len == 127)
      return -1;
    if (n < h + len)
      break;
    u8 *m = p + h - 4, *d = p + h;
    u32 mk;
    memcpy(&mk, m, 4);
    size_t i = 0;
    for (; i + 4 <= len; i += 4) {
      u32 v;
      memcpy(&v, d + i, 4);
      v ^= mk;
      memcpy(d + i, &v, 4);
    }
    for (; i < len; i++)
      d[i] ^= m[i & 3];
    int op = p[0] & 15;
    if (op == 8)
      return -1;
    on_msg(c, op, d, len);
    p += h + len;
    n -= h + len;
  }
keep:
  if (n) {
    c->rb = realloc(c->rb, n);
    memcpy(c->rb, p, n);
    c->rl = n;
  }
  return 0;
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  struct rlimit rl;
  getrlimit(RLIMIT_NOFILE, &rl);
  rl.rlim_cur = rl.rlim_max;
  setrlimit(RLIMIT_NOFILE, &rl);
  int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_port = htons(argc > 1 ? atoi(argv[1]) : 9000),
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096)) {
    perror("bind");
    return 1;
  }
  ep = epoll_create1(0);
  struct epoll_event e = {EPOLLIN, {.ptr = NULL}}, ev[512];
  epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
  for (;;) {
    int n = epoll_wait(ep, ev, 512, -1);
    for (int i = 0; i < n; i++) {
      conn *c = ev[i].data.ptr;
      if (!c) {
        int fd;
        while ((fd = accept4(ls, 0, 0, SOCK_NONBLOCK)) >= 0) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          c = calloc(1, sizeof *c);
          c->fd = fd;
          e = (struct epoll_event){EPOLLIN, {.ptr = c}};
          epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
        }
        continue;
      }
      if (ev[i].events & EPOLLOUT && c->wl) {
        ssize_t r = send(c->fd, c->wb, c->wl, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (r > 0) {
          memmove(c->wb, c->wb + r, c->wl - r);
          c->wl -= r;
        }
        if (!c->wl) {
          e = (struct epoll_event){EPOLLIN, {.ptr = c}};
          epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
        }
      }
      if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && on_read(c) < 0)
        drop(c);
    }
  }
}
