/* A load generator for WebSocket and Socket.IO servers: one thread, epoll, Linux only.
 *
 * It speaks RFC 6455 (masked frames, no extensions) and, without --raw, Engine.IO 4 and Socket.IO 5
 * over it; the mode `poll` speaks Engine.IO's long-polling over connections that are kept alive.
 *
 * A delivery is one whole data frame whose first 256 bytes contain --match; payloads are never
 * parsed as JSON. The CPU time of the server is that of the process and its children, by the
 * process's CPU clock (in ns, all threads); how it splits into user and system time is from
 * /proc/PID/stat. On loopback the kernel does the receiver's TCP input within the sender's send(),
 * so the server's figure includes the delivery into the client's socket queue.
 *
 * The last line of the output is a JSON object with all figures.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;

enum { M_IDLE, M_ECHO, M_FANOUT, M_STALLED, M_POLL };

static const char *mode_names[] = {"idle", "echo", "fanout", "stalled", "poll"};

enum { S_NEW, S_TCP, S_UPGRADE, S_EIO, S_SIO, S_WAITREADY, S_READY, S_DEAD };

enum { PH_CONNECT, PH_SETTLE, PH_PROBE, PH_WARM, PH_MEASURE, PH_DONE };

enum { P_OPEN, P_CONNECT, P_CONNECT_GET, P_SEND, P_GET, P_PONG };

#define WINDOW 256 /* payload bytes looked at */

typedef struct {
  int fd;
  u8 state, stalled, want_out, pend, paused;
  u8 pstate, pping;
  u32 rb_len, rb_cap, wb_len, wb_cap;
  u8 *rb, *wb;
  u64 skip;
  u64 nrecv;
  u64 last_rx;
  u64 *ring;
  u32 rh, rt;
  char *sid;
} conn;

/* ---- options ---- */
static const char *host = "127.0.0.1", *path = NULL, *match = NULL, *ready_match = NULL,
                  *label = "", *message = NULL, *hosthdr = NULL, *origin = NULL;
static const char *after[16];
static int nafter, port = 0, ports[16], nports, mode = -1, raw = 0, nconn = 100, ramp = 100, K = 1, W = 1,
                   nstalled = 0, payload = 0, stalled_rcvbuf = 16384, quiet = 0, src_first = 1;
static int at_least = 0;
static double seconds = 5, warm = 1, settle = 0.5, connect_timeout = 120, rate = 0, stuck = 5;
static int spids[64], nspids;

/* ---- state ---- */
static int ep;
static conn *C;
static int n_started, n_ready, n_dead, n_failed, n_inflight, n_live, ph = PH_CONNECT;

static u64 now_ns;
static u64 deliveries, other_frames, pings, closes, msgs_sent, msgs_done, bytes_rx, timeouts,
    stuck_events;
static struct sockaddr_in sa[16]; /* one for each --port; connections take turns */
static u8 *mframe;
static size_t mframe_len;
static u8 rdbuf[262144 + 64];
static char httpbuf[2048];

static void die(const char *f, ...) {
  va_list a;
  va_start(a, f);
  fprintf(stderr, "loadgen: ");
  vfprintf(stderr, f, a);
  fprintf(stderr, "\n");
  exit(2);
}

static u64 nsnow(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- latency histogram: <1.6% error ---- */
#define HN (64 * 40)
static u64 hist[HN], hmax, hcount;

static int hidx(u64 us) {
  if (us < 64)
    return us;
  int b = 63 - __builtin_clzll(us);
  int i = (b - 5) * 64 + (int)((us >> (b - 6)) & 63);
  return i < HN ? i : HN - 1;
}

static double hval(int i) {
  if (i < 64)
    return i;
  int b = i / 64 + 5;
  return (double)((64ull + (i & 63)) << (b - 6)) + (double)(1ull << (b - 6)) / 2;
}

static void hadd(u64 ns) {
  u64 t = ns / 100; /* unit 0.1 us */
  hist[hidx(t)]++;
  hcount++;
  if (ns > hmax)
    hmax = ns;
}

static double hpct(double p) { /* in us */
  if (!hcount)
    return -1;
  u64 want = (u64)(p * hcount), s = 0;
  if (want >= hcount)
    want = hcount - 1;
  for (int i = 0; i < HN; i++) {
    s += hist[i];
    if (s > want)
      return hval(i) / 10.0;
  }
  return hmax / 1000.0;
}

/* ---- server accounting ---- */
typedef struct {
  double cpu, user, sys, cpus[64];
  long rss_kb, pss_kb;
  int procs, threads;
} sstat;

static int ptree(int *out, int max) {
  int n = 0;
  for (int i = 0; i < nspids && n < max; i++)
    out[n++] = spids[i];
  static int pid[8192], ppid[8192];
  int np = 0;
  DIR *d = opendir("/proc");
  struct dirent *e;
  while (d && (e = readdir(d)) && np < 8192) {
    if (!isdigit((unsigned char)e->d_name[0]))
      continue;
    char p[300], b[512];
    snprintf(p, sizeof p, "/proc/%s/stat", e->d_name);
    int fd = open(p, O_RDONLY);
    if (fd < 0)
      continue;
    int r = read(fd, b, sizeof b - 1);
    close(fd);
    if (r <= 0)
      continue;
    b[r] = 0;
    char *q = strrchr(b, ')');
    int pp;
    if (!q || sscanf(q + 1, " %*c %d", &pp) != 1)
      continue;
    pid[np] = atoi(e->d_name);
    ppid[np++] = pp;
  }
  if (d)
    closedir(d);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < np; j++)
      if (ppid[j] == out[i] && n < max) {
        int dup = 0;
        for (int k = 0; k < n; k++)
          dup |= out[k] == pid[j];
        if (!dup)
          out[n++] = pid[j];
      }
  return n;
}

static int tree[256], ntree;

static double cpu_clock(int pid) {
  clockid_t c;
  struct timespec t;
  if (clock_getcpuclockid(pid, &c) || clock_gettime(c, &t))
    return 0;
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void server_stat(sstat *s, int mem) {
  memset(s, 0, sizeof *s);
  if (!nspids)
    return;
  ntree = ptree(tree, 256);
  s->procs = ntree;
  for (int i = 0; i < ntree; i++) {
    double cpu = cpu_clock(tree[i]);
    s->cpu += cpu;
    if (i < nspids)
      s->cpus[i] = cpu;
  }
  for (int i = 0; i < ntree; i++) {
    char p[64], b[4096];
    snprintf(p, sizeof p, "/proc/%d/stat", tree[i]);
    FILE *f = fopen(p, "r");
    if (f) {
      if (fgets(b, sizeof b, f)) {
        char *q = strrchr(b, ')');
        unsigned long u = 0, k = 0;
        long th = 0;
        if (q && sscanf(q + 1,
                        " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %ld",
                        &u, &k, &th) == 3) {
          s->user += u / (double)sysconf(_SC_CLK_TCK);
          s->sys += k / (double)sysconf(_SC_CLK_TCK);
          s->threads += th;
        }
      }
      fclose(f);
    }
    if (!mem)
      continue;
    snprintf(p, sizeof p, "/proc/%d/status", tree[i]);
    f = fopen(p, "r");
    long v;
    if (f) {
      while (fgets(b, sizeof b, f))
        if (sscanf(b, "VmRSS: %ld", &v) == 1)
          s->rss_kb += v;
      fclose(f);
    }
    snprintf(p, sizeof p, "/proc/%d/smaps_rollup", tree[i]);
    f = fopen(p, "r");
    if (f) {
      while (fgets(b, sizeof b, f))
        if (sscanf(b, "Pss: %ld", &v) == 1)
          s->pss_kb += v;
      fclose(f);
    }
  }
}

static double self_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double steal(void) { /* steal seconds, all cpus */
  FILE *f = fopen("/proc/stat", "r");
  unsigned long v = 0;
  if (f) {
    if (fscanf(f, "cpu %*u %*u %*u %*u %*u %*u %*u %lu", &v) != 1)
      v = 0;
    fclose(f);
  }
  return v / (double)sysconf(_SC_CLK_TCK);
}

/* ---- frames ---- */
static const u8 MASK[4] = {0x5a, 0xc3, 0x17, 0x9e};

static size_t mkframe(u8 *o, int op, const void *p, size_t n) {
  size_t h = 0;
  o[h++] = 0x80 | op;
  if (n < 126)
    o[h++] = 0x80 | n;
  else if (n < 65536) {
    o[h++] = 0x80 | 126;
    o[h++] = n >> 8;
    o[h++] = n;
  } else {
    o[h++] = 0x80 | 127;
    for (int i = 7; i >= 0; i--)
      o[h++] = (u64)n >> (8 * i);
  }
  memcpy(o + h, MASK, 4);
  h += 4;
  const u8 *s = p;
  for (size_t i = 0; i < n; i++)
    o[h + i] = s[i] ^ MASK[i & 3];
  return h + n;
}

static void recount(void);
static void on_delivery(conn *c);
static void pump(void);

static void ep_mod(conn *c) {
  struct epoll_event e = {.events = (c->paused ? 0 : EPOLLIN) | (c->want_out ? EPOLLOUT : 0),
                          .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void kill_conn(conn *c, const char *why) {
  if (c->state == S_DEAD)
    return;
  if (c->state < S_READY) {
    n_failed++;
    n_inflight--;
  } else {
    n_dead++;
    if (!c->stalled)
      n_live--;
  }
  if (!quiet && n_dead + n_failed <= 5)
    fprintf(stderr, "loadgen: connection %d closed in state %d: %s\n", (int)(c - C), c->state, why);
  c->state = S_DEAD;
  if (c->fd >= 0)
    close(c->fd);
  c->fd = -1;
  free(c->rb);
  free(c->wb);
  c->rb = c->wb = NULL;
  c->rb_len = c->wb_len = c->rb_cap = c->wb_cap = 0;
  if (mode == M_FANOUT || mode == M_STALLED)
    recount();
}

static void wr(conn *c, const void *p, size_t n) {
  if (c->state == S_DEAD)
    return;
  if (!c->wb_len) {
    ssize_t r = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r == (ssize_t)n)
      return;
    if (r < 0) {
      if (errno != EAGAIN && errno != EINTR) {
        kill_conn(c, strerror(errno));
        return;
      }
      r = 0;
    }
    p = (const u8 *)p + r;
    n -= r;
  }
  if (c->wb_len + n > c->wb_cap) {
    c->wb_cap = (c->wb_len + n) * 2;
    c->wb = realloc(c->wb, c->wb_cap);
  }
  memcpy(c->wb + c->wb_len, p, n);
  c->wb_len += n;
  if (!c->want_out) {
    c->want_out = 1;
    ep_mod(c);
  }
}

static void flushw(conn *c) {
  if (c->wb_len) {
    ssize_t r = send(c->fd, c->wb, c->wb_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r < 0) {
      if (errno != EAGAIN && errno != EINTR)
        kill_conn(c, strerror(errno));
      return;
    }
    memmove(c->wb, c->wb + r, c->wb_len - r);
    c->wb_len -= r;
  }
  if (!c->wb_len && c->want_out) {
    c->want_out = 0;
    ep_mod(c);
  }
}

static void send_text(conn *c, const char *s) {
  size_t n = strlen(s);
  u8 st[2048], *o = n + 16 > sizeof st ? malloc(n + 16) : st;
  wr(c, o, mkframe(o, 1, s, n));
  if (o != st)
    free(o);
}

static void set_ready(conn *c) {
  c->state = S_READY;
  n_ready++;
  n_inflight--;
  if (!c->stalled)
    n_live++;
}

static void on_connected(conn *c) {
  for (int i = 0; i < nafter; i++)
    send_text(c, after[i]);
  if (c->state == S_DEAD)
    return;
  if (ready_match)
    c->state = S_WAITREADY;
  else
    set_ready(c);
}

/* A frame's first bytes; returns 1 when its completion is a delivery. */
static int on_frame(conn *c, int op, const u8 *p, size_t n, u64 full) {
  if (op == 9) {
    u8 o[160];
    pings++;
    wr(c, o, mkframe(o, 10, p, n < 125 ? n : 125));
    return 0;
  }
  if (op == 8) {
    closes++;
    kill_conn(c, "close frame");
    return 0;
  }
  if (op == 10 || op == 0)
    return 0;
  if (!raw) {
    if (full == 1 && p[0] == '2') {
      pings++;
      u8 o[16];
      wr(c, o, mkframe(o, 1, "3", 1));
      return 0;
    }
    if (full == 1 && p[0] == '1') {
      closes++;
      kill_conn(c, "engine.io close");
      return 0;
    }
    if (c->state == S_EIO && n && p[0] == '0') {
      c->state = S_SIO;
      send_text(c, "40");
      return 0;
    }
    if (c->state == S_SIO) {
      if (n >= 2 && p[0] == '4' && p[1] == '0')
        on_connected(c);
      else if (n >= 2 && p[0] == '4' && p[1] == '4')
        kill_conn(c, "connect_error");
      return 0;
    }
    if (n < 1 || p[0] != '4') {
      other_frames++;
      return 0;
    }
  }
  if (c->state == S_WAITREADY) {
    if (memmem(p, n, ready_match, strlen(ready_match)))
      set_ready(c);
    return 0;
  }
  if (match && memmem(p, n, match, strlen(match)))
    return 1;
  other_frames++;
  return 0;
}

static void stash(conn *c, const u8 *p, size_t n) {
  if (n > c->rb_cap) {
    c->rb_cap = n < 512 ? 512 : n;
    free(c->rb);
    c->rb = malloc(c->rb_cap);
  }
  memcpy(c->rb, p, n);
  c->rb_len = n;
}

static void on_bytes(conn *c, u8 *p, size_t n) {
  if (c->state == S_UPGRADE) {
    u8 *e = memmem(p, n, "\r\n\r\n", 4);
    if (!e) {
      stash(c, p, n);
      return;
    }
    if (n < 12 || memcmp(p + 8, " 101", 4)) {
      char l[80];
      snprintf(l, sizeof l, "%.*s", (int)(n < 60 ? n : 60), p);
      kill_conn(c, l);
      return;
    }
    n -= e + 4 - p;
    p = e + 4;
    if (raw)
      on_connected(c);
    else
      c->state = S_EIO;
  }
  while (n && c->state != S_DEAD) {
    if (c->skip) {
      size_t t = c->skip < n ? c->skip : n;
      c->skip -= t;
      p += t;
      n -= t;
      if (c->skip)
        return;
      if (c->pend) {
        c->pend = 0;
        on_delivery(c);
      }
      continue;
    }
    if (n < 2)
      break;
    int op = p[0] & 15, h = 2;
    u64 len = p[1] & 127;
    if (len == 126) {
      if (n < 4)
        break;
      len = p[2] << 8 | p[3];
      h = 4;
    } else if (len == 127) {
      if (n < 10)
        break;
      len = 0;
      for (int i = 2; i < 10; i++)
        len = len << 8 | p[i];
      h = 10;
    }
    if (p[0] & 0x70) {
      kill_conn(c, "RSV bits set");
      return;
    }
    if (p[1] & 128) {
      kill_conn(c, "masked server frame");
      return;
    }
    if (n < (size_t)h)
      break;
    size_t need = len < WINDOW ? len : WINDOW;
    if (n - h < need)
      break;
    int d = on_frame(c, op, p + h, need, len);
    if (c->state == S_DEAD)
      return;
    p += h;
    n -= h;
    if (n >= len) {
      p += len;
      n -= len;
      if (d)
        on_delivery(c);
    } else {
      c->skip = len - n;
      c->pend = d;
      return;
    }
  }
  if (n && c->state != S_DEAD)
    stash(c, p, n);
}

/* ---- http polling ---- */
static void poll_req(conn *c) {
  char b[16384];
  int l;
  const char *hh = hosthdr ? hosthdr : "127.0.0.1";
  if (c->pstate == P_OPEN || c->pstate == P_CONNECT_GET || c->pstate == P_GET)
    l = snprintf(
        b, sizeof b,
        "GET %s%s%s HTTP/1.1\r\nHost: %s:%d\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n", path,
        c->sid ? "&sid=" : "", c->sid ? c->sid : "", hh, port);
  else {
    char body[12000];
    snprintf(body, sizeof body, "%s%s%s", c->pping ? "3" : "",
             c->pping && c->pstate != P_PONG ? "\x1e" : "",
             c->pstate == P_CONNECT ? "40"
             : c->pstate == P_PONG  ? ""
                                    : message);
    c->pping = 0;
    l = snprintf(
        b, sizeof b,
        "POST %s&sid=%s HTTP/1.1\r\nHost: %s:%d\r\nAccept: */*\r\nContent-Type: "
        "text/plain;charset=UTF-8\r\nContent-Length: %zu\r\nConnection: keep-alive\r\n\r\n%s",
        path, c->sid, hh, port, strlen(body), body);
  }
  wr(c, b, l);
}

static u64 http_requests;

static void poll_response(conn *c, const char *hd, const u8 *b, size_t n) {
  http_requests++;
  if (memcmp(hd + 8, " 200", 4)) {
    kill_conn(c, "http status");
    return;
  }
  switch (c->pstate) {
  case P_OPEN: {
    char *s = memmem(b, n, "\"sid\":\"", 7);
    if (!s) {
      kill_conn(c, "no sid");
      return;
    }
    char *e = memchr(s + 7, '"', (char *)b + n - s - 7);
    c->sid = strndup(s + 7, e - s - 7);
    c->pstate = P_CONNECT;
    poll_req(c);
    return;
  }
  case P_CONNECT:
    c->pstate = P_CONNECT_GET;
    poll_req(c);
    return;
  case P_CONNECT_GET:
    if (!memmem(b, n, "40", 2)) {
      poll_req(c);
      return;
    }
    c->pstate = P_SEND;
    set_ready(c);
    if (ph >= PH_WARM && ph < PH_DONE) {
      c->ring[0] = now_ns;
      poll_req(c);
    }
    return;
  case P_PONG:
    c->pstate = P_GET;
    poll_req(c);
    return;
  case P_SEND:
    c->pstate = P_GET;
    poll_req(c);
    return;
  case P_GET: {
    int got = memmem(b, n, match, strlen(match)) != NULL;
    for (size_t i = 0; i < n; i++)
      if (b[i] == '2' && (i == 0 || b[i - 1] == 0x1e) && (i + 1 == n || b[i + 1] == 0x1e)) {
        c->pping = 1;
        pings++;
      }
    if (!got) {
      c->pstate = c->pping ? P_PONG : P_GET;
      poll_req(c);
      return;
    }
    deliveries++;
    if (ph == PH_MEASURE)
      hadd(now_ns - c->ring[0]);
    if (ph >= PH_DONE)
      return;
    c->pstate = P_SEND;
    c->ring[0] = now_ns;
    poll_req(c);
    return;
  }
  }
}

static void poll_bytes(conn *c, u8 *p, size_t n) {
  while (n) {
    u8 *e = memmem(p, n, "\r\n\r\n", 4);
    if (!e) {
      stash(c, p, n);
      return;
    }
    size_t hl = e + 4 - p;
    e[2] = 0; /* headers become a C string */
    char *cl = strcasestr((char *)p, "\r\ncontent-length:");
    size_t used;
    if (cl) {
      size_t L = strtoul(cl + 17, NULL, 10);
      if (n - hl < L) {
        e[2] = '\r';
        stash(c, p, n);
        return;
      }
      used = hl + L;
      poll_response(c, (char *)p, p + hl, L);
    } else if (strcasestr((char *)p, "\r\ntransfer-encoding: chunked")) {
      u8 body[65536];
      size_t bl = 0, o = hl;
      for (;;) {
        u8 *q = memmem(p + o, n - o, "\r\n", 2);
        if (!q) {
          e[2] = '\r';
          stash(c, p, n);
          return;
        }
        size_t L = strtoul((char *)p + o, NULL, 16);
        o = q + 2 - p;
        if (n - o < L + 2) {
          e[2] = '\r';
          stash(c, p, n);
          return;
        }
        if (bl + L < sizeof body) {
          memcpy(body + bl, p + o, L);
          bl += L;
        }
        o += L + 2;
        if (!L)
          break;
      }
      used = o;
      poll_response(c, (char *)p, body, bl);
    } else {
      kill_conn(c, "no length");
      return;
    }
    if (c->state == S_DEAD)
      return;
    p += used;
    n -= used;
  }
}

/* ---- fan-out bookkeeping: TCP keeps order, so a receiver's n-th match is message n ---- */
#define SLOTS 4096

static struct {
  u64 t0;
  int cnt;
} slot[SLOTS];

static u64 lo_msg, next_msg; /* in flight: [lo_msg, next_msg) */
static u64 measure_t0, last_progress, max_gap, last_delivery;
static conn *sender;

static void complete_lo(void) {
  while (lo_msg < next_msg && slot[lo_msg % SLOTS].cnt >= n_live) {
    u64 t = slot[lo_msg % SLOTS].t0;
    if (ph == PH_MEASURE && t >= measure_t0)
      hadd(now_ns - t);
    lo_msg++;
    msgs_done++;
    last_progress = now_ns;
  }
}

static void recount(void) {
  for (u64 m = lo_msg; m < next_msg; m++) {
    int k = 0;
    for (int i = 0; i < nconn; i++)
      if (C[i].state == S_READY && !C[i].stalled && C[i].nrecv > m)
        k++;
    slot[m % SLOTS].cnt = k;
  }
}

static void send_one(conn *c) {
  wr(c, mframe, mframe_len);
  msgs_sent++;
}

static double tokens;
static u64 tok_t;

static void pump(void) {
  if (ph < PH_PROBE || ph >= PH_DONE || !sender || sender->state != S_READY)
    return;
  if (rate > 0) {
    tokens += (now_ns - tok_t) / 1e9 * rate;
    tok_t = now_ns;
    if (tokens > 100)
      tokens = 100;
  }
  while (next_msg - lo_msg < (u64)W && sender->state == S_READY) {
    if (rate > 0 && ph != PH_PROBE) {
      if (tokens < 1)
        return;
      tokens -= 1;
    }
    slot[next_msg % SLOTS].t0 = nsnow();
    slot[next_msg % SLOTS].cnt = 0;
    next_msg++;
    send_one(sender);
  }
}

static void on_delivery(conn *c) {
  deliveries++;
  if (mode == M_ECHO) {
    if (c->rh == c->rt)
      return;
    u64 t = c->ring[c->rh++ % K];
    if (ph == PH_MEASURE && t >= measure_t0)
      hadd(now_ns - t);
    if (ph < PH_DONE) {
      c->ring[c->rt++ % K] = now_ns;
      send_one(c);
    }
  } else if (mode == M_FANOUT || mode == M_STALLED) {
    if (c->stalled)
      return;
    u64 m = c->nrecv++;
    if (ph == PH_MEASURE) {
      if (c->last_rx) {
        u64 from = c->last_rx > measure_t0 ? c->last_rx : measure_t0;
        if (now_ns - from > max_gap)
          max_gap = now_ns - from;
      }
    }
    c->last_rx = now_ns;
    last_delivery = now_ns;
    if (m < lo_msg || m >= next_msg)
      return;
    if (++slot[m % SLOTS].cnt >= n_live && m == lo_msg) {
      complete_lo();
      pump();
    }
  }
}

/* ---- connecting ---- */
static void start_conn(conn *c) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0)
    die("socket: %s", strerror(errno));
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (c->stalled && stalled_rcvbuf > 0)
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &stalled_rcvbuf, sizeof stalled_rcvbuf);
  int idx = c - C;
  if (nconn > 25000 || src_first > 1) {
    struct sockaddr_in b = {.sin_family = AF_INET};
    b.sin_addr.s_addr = htonl(0x7f000000u + src_first + idx / 25000);
    setsockopt(c->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->fd, (void *)&b, sizeof b))
      die("bind: %s", strerror(errno));
  }
  c->state = S_TCP;
  n_inflight++;
  int r = connect(c->fd, (void *)&sa[idx % nports], sizeof sa[0]);
  if (r < 0 && errno != EINPROGRESS) {
    kill_conn(c, strerror(errno));
    c->fd = -1;
    return;
  }
  c->want_out = 1;
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e))
    die("epoll_ctl: %s", strerror(errno));
}

static void on_event(conn *c, u32 ev) {
  if (c->state == S_DEAD)
    return;
  if (c->state == S_TCP) {
    if (!(ev & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
      return;
    int err = 0;
    socklen_t l = sizeof err;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &l);
    if (err) {
      kill_conn(c, strerror(err));
      return;
    }
    c->state = S_UPGRADE;
    c->want_out = 0;
    ep_mod(c);
    if (mode == M_POLL) {
      c->pstate = P_OPEN;
      poll_req(c);
    } else
      wr(c, httpbuf, strlen(httpbuf));
    return;
  }
  if (ev & EPOLLOUT)
    flushw(c);
  if (c->state == S_DEAD)
    return;
  if (ev & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    u8 *base = rdbuf;
    size_t have = c->rb_len;
    if (have) {
      if (have > sizeof rdbuf / 2) {
        kill_conn(c, "oversized partial");
        return;
      }
      memcpy(base, c->rb, have);
      c->rb_len = 0;
    }
    ssize_t r = recv(c->fd, base + have, sizeof rdbuf - 64 - have, 0);
    if (r == 0) {
      kill_conn(c, "EOF");
      return;
    }
    if (r < 0) {
      if (errno == EAGAIN || errno == EINTR) {
        if (have)
          stash(c, base, have);
        return;
      }
      kill_conn(c, strerror(errno));
      return;
    }
    bytes_rx += r;
    if (mode == M_POLL)
      poll_bytes(c, base, have + r);
    else
      on_bytes(c, base, have + r);
  }
}

static void usage(void) {
  puts("loadgen MODE --port P [options]\n"
       "modes: idle echo fanout stalled poll\n"
       " --port Q              of one more server; connections take turns\n"
       " --host H --port P --path PATH --host-header H --origin O\n"
       " --raw                 plain WebSocket (no Engine.IO/Socket.IO)\n"
       " --conns N --ramp R    connections; handshakes in progress at once\n"
       " --after-connect PKT   text frame sent once connected (repeatable)\n"
       " --ready-match S       a connection is ready when a frame containing S arrives\n"
       " --message PKT         frame to send; %PAD% is replaced to reach --payload bytes\n"
       " --payload N --match S pad the message to N bytes in all; what counts as a delivery\n"
       " --outstanding K       echo: messages outstanding per connection\n"
       " --window W --rate R   fanout/stalled: messages in flight; max messages/s (0: none)\n"
       " --stalled M --stalled-rcvbuf B\n"
       " --at-least N          go on measuring until there were N deliveries, or for 15 s\n"
       " --seconds S --warm S --settle S --stuck S --connect-timeout S\n"
       " --server-pid P        (repeatable; its descendants are included)\n"
       " --src-first X         first source address 127.0.0.X --label TEXT --quiet");
  exit(1);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 0);
  static struct option lo[] = {{"host", 1, 0, 'h'},        {"port", 1, 0, 'p'},
                               {"path", 1, 0, 'P'},        {"conns", 1, 0, 'n'},
                               {"ramp", 1, 0, 'r'},        {"after-connect", 1, 0, 'a'},
                               {"message", 1, 0, 'm'},     {"match", 1, 0, 'M'},
                               {"seconds", 1, 0, 's'},     {"raw", 0, 0, 'R'},
                               {"outstanding", 1, 0, 'K'}, {"window", 1, 0, 'W'},
                               {"stalled", 1, 0, 'S'},     {"stalled-rcvbuf", 1, 0, 'B'},
                               {"payload", 1, 0, 'l'},     {"server-pid", 1, 0, 'i'},
                               {"warm", 1, 0, 'w'},        {"settle", 1, 0, 'e'},
                               {"ready-match", 1, 0, 'y'}, {"connect-timeout", 1, 0, 't'},
                               {"rate", 1, 0, 'q'},        {"label", 1, 0, 'L'},
                               {"quiet", 0, 0, 'Q'},       {"src-first", 1, 0, 'f'},
                               {"host-header", 1, 0, 'H'}, {"origin", 1, 0, 'O'},
                               {"stuck", 1, 0, 'k'},       {"at-least", 1, 0, 'A'},
                               {"help", 0, 0, '?'},        {0}};
  int o;
  if (argc < 2)
    usage();
  for (int i = 0; i < 5; i++)
    if (!strcmp(argv[1], mode_names[i]))
      mode = i;
  if (mode < 0)
    usage();
  optind = 2;
  while ((o = getopt_long(argc, argv, "", lo, NULL)) != -1)
    switch (o) {
    case 'h':
      host = optarg;
      break;
    case 'p':
      if (nports < 16)
        ports[nports++] = atoi(optarg);
      port = ports[0];
      break;
    case 'P':
      path = optarg;
      break;
    case 'n':
      nconn = atoi(optarg);
      break;
    case 'r':
      ramp = atoi(optarg);
      break;
    case 'a':
      if (nafter < 16)
        after[nafter++] = optarg;
      break;
    case 'm':
      message = optarg;
      break;
    case 'M':
      match = optarg;
      break;
    case 's':
      seconds = atof(optarg);
      break;
    case 'R':
      raw = 1;
      break;
    case 'K':
      K = atoi(optarg);
      break;
    case 'W':
      W = atoi(optarg);
      break;
    case 'S':
      nstalled = atoi(optarg);
      break;
    case 'B':
      stalled_rcvbuf = atoi(optarg);
      break;
    case 'l':
      payload = atoi(optarg);
      break;
    case 'i':
      if (nspids < 64)
        spids[nspids++] = atoi(optarg);
      break;
    case 'w':
      warm = atof(optarg);
      break;
    case 'e':
      settle = atof(optarg);
      break;
    case 'y':
      ready_match = optarg;
      break;
    case 't':
      connect_timeout = atof(optarg);
      break;
    case 'q':
      rate = atof(optarg);
      break;
    case 'L':
      label = optarg;
      break;
    case 'Q':
      quiet = 1;
      break;
    case 'f':
      src_first = atoi(optarg);
      break;
    case 'H':
      hosthdr = optarg;
      break;
    case 'A':
      at_least = atoi(optarg);
      break;
    case 'O':
      origin = optarg;
      break;
    case 'k':
      stuck = atof(optarg);
      break;
    default:
      usage();
    }

  if (!port)
    usage();
  if (!path)
    path = mode == M_POLL ? "/socket.io/?EIO=4&transport=polling"
           : raw          ? "/"
                          : "/socket.io/?EIO=4&transport=websocket";
  if (W > SLOTS)
    W = SLOTS;
  if (mode != M_IDLE && (!message || !match))
    die("--message and --match are needed");
  if (message) { /* expand %PAD% */
    char *q = strstr(message, "%PAD%");
    if (q) {
      size_t base = strlen(message) - 5, pad = payload > (int)base ? payload - base : 8;
      char *m = malloc(base + pad + 1);
      size_t a = q - message;
      memcpy(m, message, a);
      memset(m + a, 'x', pad);
      strcpy(m + a + pad, q + 5);
      message = m;
    }
    mframe = malloc(strlen(message) + 16);
    mframe_len = mkframe(mframe, 1, message, strlen(message));
  }
  struct rlimit rl;
  getrlimit(RLIMIT_NOFILE, &rl);
  rl.rlim_cur = rl.rlim_max;
  setrlimit(RLIMIT_NOFILE, &rl);
  if ((u64)nconn + 16 > rl.rlim_cur)
    die("fd limit %lu too low", (unsigned long)rl.rlim_cur);
  for (int i = 0; i < nports; i++) {
    sa[i].sin_family = AF_INET;
    sa[i].sin_port = htons(ports[i]);
    if (!inet_aton(host, &sa[i].sin_addr))
      die("bad host");
  }
  char hh[200], og[300] = "";
  snprintf(hh, sizeof hh, "%s:%d", hosthdr ? hosthdr : host, port);
  if (origin)
    snprintf(og, sizeof og, "Origin: %s\r\n", origin);
  snprintf(
      httpbuf, sizeof httpbuf,
      "GET %s HTTP/1.1\r\nHost: %s\r\n%sUpgrade: websocket\r\nConnection: "
      "Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
      path, hh, og);
  C = calloc(nconn, sizeof *C);
  for (int i = 0; i < nconn; i++) {
    C[i].fd = -1;
    if (mode == M_ECHO || mode == M_POLL)
      C[i].ring = calloc(K, sizeof(u64));
    if (mode == M_STALLED && i >= nconn - nstalled)
      C[i].stalled = 1;
  }
  ep = epoll_create1(EPOLL_CLOEXEC);
  sstat s0, s1, s2, s3, sx;
  server_stat(&s0, 1);
  u64 t_start = nsnow(), t_conn = 0, t_meas = 0, t_end = 0, ph_t = t_start;
  u64 d0 = 0, m0 = 0, h0 = 0, sec_mark = 0, sec_d = 0, done0 = 0;
  double cl0 = 0, cl1 = 0, st0 = 0, st1 = 0, clc0 = self_cpu(), clc1 = 0;
  double connect_cpu = 0;
  int secn = 0, hand_n = 0;
  u64 rows[4096];
  long rssrows[4096];
  struct epoll_event ev[1024];
  now_ns = t_start;
  last_progress = now_ns;
  memset(&s1, 0, sizeof s1);
  memset(&s2, 0, sizeof s2);
  memset(&s3, 0, sizeof s3);
  while (ph != PH_DONE) {
    if (ph == PH_CONNECT) {
      while (n_inflight < ramp && n_started < nconn)
        start_conn(&C[n_started++]);
      if (n_ready + n_failed >= nconn || (now_ns - t_start) / 1e9 > connect_timeout) {
        t_conn = now_ns;
        hand_n = n_ready;
        server_stat(&sx, 0);
        connect_cpu = sx.cpu - s0.cpu;
        clc1 = self_cpu();
        if (n_ready + n_failed < nconn)
          timeouts = nconn - n_ready - n_failed;
        ph = PH_SETTLE;
        ph_t = now_ns;
        if (!n_ready)
          die("no connection succeeded (%d failed, %d pending)", n_failed, n_inflight);
        for (int i = 0; i < nconn; i++) {
          if (C[i].state < S_READY && C[i].fd >= 0) {
            n_inflight--;
            n_failed++;
            C[i].state = S_DEAD;
            close(C[i].fd);
            C[i].fd = -1;
          }
          if (!sender && C[i].state == S_READY && !C[i].stalled)
            sender = &C[i];
        }
        if (!quiet)
          printf("connected %d/%d in %.2fs (%.0f/s), failed %d, timed out %lu\n", n_ready, nconn,
                 (t_conn - t_start) / 1e9, n_ready / ((t_conn - t_start) / 1e9), n_failed,
                 (unsigned long)timeouts);
      }
    }
    int n = epoll_wait(ep, ev, 1024, rate > 0 ? 1 : ph == PH_CONNECT ? 100 : 10);
    now_ns = nsnow();
    for (int i = 0; i < n; i++) {
      if ((i & 15) == 15)
        now_ns = nsnow();
      on_event(ev[i].data.ptr, ev[i].events);
    }
    if (n)
      now_ns = nsnow();
    double in_ph = (now_ns - ph_t) / 1e9;
    if (ph == PH_SETTLE && in_ph >= settle) {
      server_stat(&s1, 1);
      for (int i = 0; i < nconn; i++)
        if (C[i].stalled && C[i].state == S_READY) {
          C[i].paused = 1;
          ep_mod(&C[i]);
        }
      deliveries = 0;
      ph = (mode == M_FANOUT || mode == M_STALLED) ? PH_PROBE : PH_WARM;
      now_ns = ph_t = tok_t = last_progress = nsnow();
      if (ph == PH_WARM) {
        for (int i = 0; i < nconn; i++) {
          conn *c = &C[i];
          if (c->state != S_READY)
            continue;
          if (mode == M_ECHO)
            for (int k = 0; k < K && c->state == S_READY; k++) {
              c->ring[c->rt++ % K] = nsnow();
              send_one(c);
            }
          else if (mode == M_POLL) {
            c->pstate = P_SEND;
            c->ring[0] = nsnow();
            poll_req(c);
          }
        }
      } else {
        int w = W;
        W = 1; /* the probe: one message, so that every join is known to have happened */
        pump();
        W = w;
      }
    } else if (ph == PH_PROBE) {
      if (msgs_done >= 1) {
        ph = PH_WARM;
        ph_t = now_ns;
        if (!quiet)
          printf("probe delivered to %lu of %d in %.1f ms\n", (unsigned long)deliveries, n_live,
                 in_ph * 1e3);
        pump();
      } else if (in_ph > 15) {
        printf("probe reached only %lu of %d live connections\n", (unsigned long)deliveries,
               n_live);
        die("probe failed");
      }
    } else if (ph == PH_WARM && in_ph >= (mode == M_IDLE ? 0 : warm)) {
      ph = PH_MEASURE;
      ph_t = t_meas = measure_t0 = sec_mark = last_progress = nsnow();
      d0 = sec_d = deliveries;
      m0 = msgs_sent;
      done0 = msgs_done;
      h0 = http_requests;
      memset(hist, 0, sizeof hist);
      hcount = hmax = 0;
      cl0 = self_cpu();
      st0 = steal();
      server_stat(&s2, 0);
    } else if (ph == PH_MEASURE) {
      if (now_ns - sec_mark >= 1000000000ull && secn < 4096) {
        rows[secn] = deliveries - sec_d;
        sec_d = deliveries;
        if (mode == M_STALLED) {
          server_stat(&sx, 1);
          rssrows[secn] = sx.rss_kb;
          printf("  t=%2ds deliveries %8lu  complete messages %6lu  live %d  dead %d  server RSS "
                 "%.1f MB\n",
                 secn + 1, (unsigned long)rows[secn], (unsigned long)(msgs_done - done0), n_live,
                 n_dead, sx.rss_kb / 1024.0);
        }
        secn++;
        sec_mark += 1000000000ull;
      }
      /* --at-least: on a busy machine a short time may pass without any delivery */
      int enough = deliveries - d0 >= (u64)at_least || in_ph > 15;
      if (in_ph >= seconds && enough) {
        server_stat(&s3, 0);
        t_end = nsnow();
        cl1 = self_cpu();
        st1 = steal();
        ph = PH_DONE;
      }
    }
    if (mode == M_FANOUT || mode == M_STALLED) {
      complete_lo();
      if (ph == PH_WARM || ph == PH_MEASURE) {
        if (lo_msg < next_msg && (int64_t)(now_ns - last_progress) > (int64_t)(stuck * 1e9)) {
          stuck_events++;
          last_progress = now_ns;
        }
        pump();
      }
    }
  }
  sx = s3;
  server_stat(&s3, 1);
  s3.cpu = sx.cpu;
  s3.user = sx.user;
  s3.sys = sx.sys;
  memcpy(s3.cpus, sx.cpus, sizeof s3.cpus);
  if (mode == M_FANOUT || mode == M_STALLED)
    for (int i = 0; i < nconn; i++)
      if (C[i].state == S_READY && !C[i].stalled) {
        u64 from = C[i].last_rx > measure_t0 ? C[i].last_rx : measure_t0;
        if (t_end - from > max_gap)
          max_gap = t_end - from;
      }
  double T = (t_end - t_meas) / 1e9, Tc = (t_conn - t_start) / 1e9;
  u64 D = deliveries - d0;
  double cpu = s3.cpu - s2.cpu, us = s3.user - s2.user, sy = s3.sys - s2.sys;
  double f = us + sy > 0 ? us / (us + sy) : 0;
  double per = D ? cpu * 1e6 / D : 0;
  long bpc = hand_n ? (long)((s1.rss_kb - s0.rss_kb) * 1024.0 / hand_n) : 0;
  long bpp = hand_n ? (long)((s1.pss_kb - s0.pss_kb) * 1024.0 / hand_n) : 0;
  if (!quiet) {
    printf("%s %s: %lu deliveries in %.2fs = %.0f/s, sent %lu, latency us p50 %.0f p99 %.0f max "
           "%.0f\n",
           label, mode_names[mode], (unsigned long)D, T, D / T, (unsigned long)(msgs_sent - m0),
           hpct(.5), hpct(.99), hmax / 1e3);
    if (nspids)
      printf("  server cpu %.2fs (%.0f%%; user share %.0f%%) = %.2f us per delivery (user %.2f sys "
             "%.2f); %.1f us per connect; client cpu %.0f%%\n",
             cpu, cpu / T * 100, f * 100, per, per * f, per * (1 - f),
             hand_n ? connect_cpu * 1e6 / hand_n : 0, (cl1 - cl0) / T * 100);
    if (nspids)
      printf("  server RSS kB %ld -> %ld -> %ld (%ld B/conn RSS, %ld B/conn PSS)\n", s0.rss_kb,
             s1.rss_kb, s3.rss_kb, bpc, bpp);
  }
  printf("{\"label\":\"%s\",\"mode\":\"%s\",\"conns\":%d,\"ready\":%d,\"failed\":%d,\"connect_"
         "timeouts\":%lu,\"dead\":%d,\"live_at_end\":%d",
         label, mode_names[mode], nconn, hand_n, n_failed, (unsigned long)timeouts, n_dead, n_live);
  printf(",\"connects_per_s\":%.1f,\"connect_s\":%.3f,\"cpu_us_per_connect\":%.2f,\"client_cpu_pct_"
         "connect\":%.1f",
         Tc > 0 ? hand_n / Tc : 0, Tc, hand_n ? connect_cpu * 1e6 / hand_n : 0,
         (clc1 - clc0) / Tc * 100);
  printf(",\"measured_s\":%.3f,\"deliveries\":%lu,\"per_s\":%.1f,\"sent\":%lu,\"completed\":%lu", T,
         (unsigned long)D, D / T, (unsigned long)(msgs_sent - m0),
         (unsigned long)(msgs_done - done0));
  printf(",\"lat_us_p50\":%.1f,\"lat_us_p90\":%.1f,\"lat_us_p99\":%.1f,\"lat_us_max\":%.1f",
         hpct(.5), hpct(.9), hpct(.99), hmax / 1e3);
  printf(",\"server_cpu_s\":%.4f,\"server_cpu_pct\":%.1f,\"user_share\":%.3f,\"cpu_us_per_op\":%."
         "3f,\"user_us_per_op\":%.3f,\"sys_us_per_op\":%.3f",
         cpu, cpu / T * 100, f, per, per * f, per * (1 - f));
  printf(",\"client_cpu_pct\":%.1f,\"client_us_per_op\":%.3f,\"steal_s\":%.2f",
         (cl1 - cl0) / T * 100, D ? (cl1 - cl0) * 1e6 / D : 0, st1 - st0);
  printf(",\"rss_kb_before\":%ld,\"rss_kb_connected\":%ld,\"rss_kb_end\":%ld,\"pss_kb_before\":%ld,"
         "\"pss_kb_connected\":%ld,\"pss_kb_end\":%ld,\"rss_bytes_per_conn\":%ld,\"pss_bytes_per_"
         "conn\":%ld",
         s0.rss_kb, s1.rss_kb, s3.rss_kb, s0.pss_kb, s1.pss_kb, s3.pss_kb, bpc, bpp);
  printf(",\"server_procs\":%d,\"server_threads\":%d,\"pings\":%lu,\"other_frames\":%lu,\"closes\":"
         "%lu,\"bytes_rx\":%lu,\"stuck_events\":%lu,\"worst_gap_ms\":%.1f,\"http_requests\":%lu,"
         "\"http_per_s\":%.1f",
         s3.procs, s3.threads, (unsigned long)pings, (unsigned long)other_frames,
         (unsigned long)closes, (unsigned long)bytes_rx, (unsigned long)stuck_events, max_gap / 1e6,
         (unsigned long)(http_requests - h0), (http_requests - h0) / T);
  printf(",\"cpu_s_by_pid\":[");
  for (int i = 0; i < nspids; i++)
    printf("%s%.5f", i ? "," : "", s3.cpus[i] - s2.cpus[i]);
  printf("]");
  printf(",\"per_second\":[");
  for (int i = 0; i < secn; i++)
    printf("%s%lu", i ? "," : "", (unsigned long)rows[i]);
  printf("]");
  if (mode == M_STALLED) {
    printf(",\"rss_kb_per_second\":[");
    for (int i = 0; i < secn; i++)
      printf("%s%ld", i ? "," : "", rssrows[i]);
    printf("]");
  }
  printf("}\n");
  return 0;
}
