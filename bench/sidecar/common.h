/* What the load generator and the mock engine share: time, files, and one way to fail. */
#ifndef COMMON_H
#define COMMON_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STAMP "chatcmpl-"  /* in front of the time an event was sent, in its id: nobody on the way reads or writes there */
#define STAMP_DIGITS 19

struct text {
    char *data;
    size_t length;
};

__attribute__((noreturn)) static inline void die(const char *what) {
    fprintf(stderr, "%s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static inline uint64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static inline struct text read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct text text = {0};
    if (!file || fseek(file, 0, SEEK_END) || (text.length = (size_t)ftell(file), fseek(file, 0, SEEK_SET))) die(path);
    text.data = malloc(text.length + 1);
    if (!text.data || fread(text.data, 1, text.length, file) != text.length) die(path);
    text.data[text.length] = 0;
    fclose(file);
    return text;
}

static inline char *find(const char *in, size_t length, const char *what) { return memmem(in, length, what, strlen(what)); }

static inline struct sockaddr_in loopback(const char *port) {
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void at_once(int fd) {
    int yes = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes)) die("TCP_NODELAY");
}

/* What is sent here always fits into the socket's buffer; where it does not, the figures would mean nothing. That the other side has
 * gone is for the next read to notice. */
static inline void send_all(int fd, const char *data, size_t length) {
    if (send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length || errno == EPIPE || errno == ECONNRESET) return;
    die("send");
}
#endif
