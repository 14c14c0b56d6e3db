/* What this machine costs just now, in ns of CPU time: one JSON line.
 *
 *   calib [CONNECTIONS [ROUNDS]]
 *
 * int_ns: a step of an integer loop. null_syscall_ns: getppid(). send_hot_ns, recv_hot_ns: 70 bytes
 * through one loopback connection. send_fan_ns, recv_fan_ns: through all connections in turn, whose
 * sockets are cold. epoll_wait_ns: one event returned. Pin it to the CPU in question.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  int N = argc > 1 ? atoi(argv[1]) : 1000, R = argc > 2 ? atoi(argv[2]) : 6, one = 1;
  char b[70], rb[65536];
  memset(b, 'x', sizeof b);
  double t = cpu();
  volatile uint64_t sink;
  uint64_t x = 88172645463325252ull;
  for (int i = 0; i < 1000000; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  sink = x;
  (void)sink;
  double ci = (cpu() - t) / 1e6;
  t = cpu();
  for (int i = 0; i < 50000; i++)
    syscall(SYS_getppid);
  double cn = (cpu() - t) / 50000;
  int ls = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t l = sizeof a;
  if (bind(ls, (void *)&a, l) || listen(ls, 4096) || getsockname(ls, (void *)&a, &l))
    return 1;
  int *s = malloc(N * sizeof *s), *r = malloc(N * sizeof *r);
  struct linger lg = {1, 0};
  for (int i = 0; i < N; i++) {
    s[i] = socket(AF_INET, SOCK_STREAM, 0);
    if (s[i] < 0 || connect(s[i], (void *)&a, l)) {
      perror("connect");
      return 1;
    }
    r[i] = accept(ls, 0, 0);
    if (r[i] < 0) {
      perror("accept");
      return 1;
    }
    setsockopt(s[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(s[i], SOL_SOCKET, SO_LINGER, &lg, sizeof lg); /* RST: no TIME_WAIT */
  }
  double c1 = 0, c2 = 0, c3 = 0, c4 = 0, ce = 0;
  for (int k = 0; k < 20; k++) { /* one hot connection, 100 sends then 100 recvs of 70 bytes */
    t = cpu();
    for (int i = 0; i < 100; i++)
      if (send(s[0], b, sizeof b, MSG_DONTWAIT) < 0)
        return 2;
    c1 += cpu() - t;
    t = cpu();
    for (int i = 0; i < 100; i++)
      if (recv(r[0], rb, sizeof b, MSG_DONTWAIT) < 0)
        return 3;
    c2 += cpu() - t;
  }
  int ep = epoll_create1(0);
  struct epoll_event e = {EPOLLIN, {0}}, ev[8];
  epoll_ctl(ep, EPOLL_CTL_ADD, r[0], &e);
  if (send(s[0], b, sizeof b, 0) < 0)
    return 2;
  t = cpu();
  for (int i = 0; i < 5000; i++)
    epoll_wait(ep, ev, 8, 0);
  ce = (cpu() - t) / 5000;
  if (recv(r[0], rb, sizeof rb, 0) < 0)
    return 3;
  for (int k = 0; k < R; k++) { /* over all connections */
    t = cpu();
    for (int i = 0; i < N; i++)
      if (send(s[i], b, sizeof b, MSG_DONTWAIT) < 0)
        return 2;
    c3 += cpu() - t;
    t = cpu();
    for (int i = 0; i < N; i++)
      if (recv(r[i], rb, sizeof rb, MSG_DONTWAIT) < 0)
        return 3;
    c4 += cpu() - t;
  }
  printf("{\"int_ns\":%.3f,\"null_syscall_ns\":%.0f,\"send_hot_ns\":%.0f,\"recv_hot_ns\":%.0f,"
         "\"epoll_wait_ns\":%.0f,\"send_fan_ns\":%.0f,\"recv_fan_ns\":%.0f}\n",
         ci, cn, c1 / 2000, c2 / 2000, ce, c3 / R / N, c4 / R / N);
}
