/* The engine of the benchmark: one thread that answers POSTs with a completion from a file, or with its events, each in a write of its own.
 *
 *   upstream PORT ANSWER EVENTS PACE_US
 *
 * A request with "stream":true gets the events, one every PACE_US where it also has "user":"paced", else all at once. Every event carries
 * the time it was sent. Paced streams are spread evenly over the pace, so that events never come in bursts. "user":"echo" gets its own
 * body back. Everything that is not a POST is answered 200 with nothing: health checks.
 */
#include "common.h"

enum { CONNECTIONS = 1024, REQUEST = 64 * 1024, EVENTS = 256, STREAMS = 64 };

struct event {
    struct text chunk;
    char *stamp; /* where its time goes, or NULL */
};

struct connection {
    char in[REQUEST];
    size_t length;
    bool paced;
    int next;
    uint64_t due;
};

static const char stream_head[] = "HTTP/1.1 200 OK\r\ndate: Fri, 27 Nov 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
                                  "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
static const char json_head[] = "HTTP/1.1 200 OK\r\ndate: Fri, 27 Nov 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
                                "content-length: %zu\r\ncontent-type: application/json\r\n\r\n";

static struct connection connections[CONNECTIONS]; /* by file descriptor */
static struct event events[EVENTS];
static int event_count, next_slot;
static struct text answer;
static uint64_t pace_ns;

static void read_events(const char *path) {
    struct text lines = read_file(path);
    for (char *line = strtok(lines.data, "\n"); line; line = strtok(NULL, "\n")) {
        if (event_count == EVENTS) die("too many events");
        struct event *event = &events[event_count++];
        size_t payload = strlen(line) + strlen("data: \n\n");
        int length = asprintf(&event->chunk.data, "%zx\r\ndata: %s\n\n\r\n", payload, line);
        if (length < 0) die("asprintf");
        event->chunk.length = (size_t)length;
        event->stamp = find(event->chunk.data, event->chunk.length, STAMP);
        if (event->stamp) event->stamp += strlen(STAMP);
    }
}

static void send_event(int fd, struct event *event) {
    if (event->stamp) {
        char digits[STAMP_DIGITS + 1];
        snprintf(digits, sizeof digits, "%0*llu", STAMP_DIGITS, (unsigned long long)now_ns());
        memcpy(event->stamp, digits, STAMP_DIGITS);
    }
    send_all(fd, event->chunk.data, event->chunk.length);
}

static void end_stream(int fd) { send_all(fd, "0\r\n\r\n", 5); }

static void send_json(int fd, const char *body, size_t length) {
    static char out[REQUEST * 2];
    int head = snprintf(out, sizeof out, json_head, length);
    if ((size_t)head + length > sizeof out) die("an answer is too large");
    memcpy(out + head, body, length);
    send_all(fd, out, (size_t)head + length);
}

static void start_paced(struct connection *connection) {
    uint64_t now = now_ns(), phase = pace_ns * (uint64_t)(next_slot++ % STREAMS) / STREAMS;
    connection->paced = true;
    connection->next = 0;
    connection->due = now - now % pace_ns + phase;
    if (connection->due < now) connection->due += pace_ns;
}

static void respond(int fd, struct connection *connection, const char *body, size_t length) {
    if (strncmp(connection->in, "POST ", 5) != 0) {
        send_json(fd, "", 0);
    } else if (find(body, length, "\"user\":\"echo\"")) {
        send_json(fd, body, length);
    } else if (!find(body, length, "\"stream\":true")) {
        send_json(fd, answer.data, answer.length);
    } else {
        send_all(fd, stream_head, sizeof stream_head - 1);
        if (find(body, length, "\"user\":\"paced\"")) {
            start_paced(connection);
            return;
        }
        for (int each = 0; each < event_count; each++) send_event(fd, &events[each]);
        end_stream(fd);
    }
}

static void readable(int fd) {
    struct connection *connection = &connections[fd];
    ssize_t got = recv(fd, connection->in + connection->length, REQUEST - connection->length, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        connection->paced = false;
        close(fd);
        return;
    }
    connection->length += (size_t)got;
    char *end = find(connection->in, connection->length, "\r\n\r\n");
    if (!end) return;
    size_t head = (size_t)(end + 4 - connection->in);
    *end = 0;
    char *said = strcasestr(connection->in, "\r\ncontent-length:");
    *end = '\r';
    size_t body = said ? strtoul(said + strlen("\r\ncontent-length:"), NULL, 10) : 0;
    if (head + body > REQUEST) die("a request is too large");
    if (connection->length < head + body) return;
    respond(fd, connection, connection->in + head, body);
    connection->length = 0; /* nobody sends a second request before the first is answered */
}

/* Sends what is due and returns when the next is. */
static uint64_t pace(void) {
    uint64_t earliest = UINT64_MAX;
    for (int fd = 0; fd < CONNECTIONS; fd++) {
        struct connection *connection = &connections[fd];
        if (!connection->paced) continue;
        if (connection->due <= now_ns()) {
            send_event(fd, &events[connection->next++]);
            connection->due += pace_ns;
            if (connection->next == event_count) {
                connection->paced = false;
                end_stream(fd);
                continue;
            }
        }
        if (connection->due < earliest) earliest = connection->due;
    }
    return earliest;
}

int main(int count, char **arguments) {
    if (count != 5) die("usage: upstream PORT ANSWER EVENTS PACE_US");
    struct sockaddr_in address = loopback(arguments[1]);
    answer = read_file(arguments[2]);
    read_events(arguments[3]);
    pace_ns = strtoull(arguments[4], NULL, 10) * 1000;
    prctl(PR_SET_TIMERSLACK, 1);
    int listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) die("listen");
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, ready[64];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        uint64_t due = pace(), now = now_ns(), left = due > now ? due - now : 0;
        struct timespec wait = {.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
        int found = epoll_pwait2(poll, ready, 64, due == UINT64_MAX ? NULL : &wait, NULL);
        for (int each = 0; each < found; each++) {
            int fd = ready[each].data.fd;
            if (fd != listener) {
                readable(fd);
                continue;
            }
            int accepted = accept(listener, NULL, NULL);
            if (accepted < 0 || accepted >= CONNECTIONS) die("accept");
            at_once(accepted);
            connections[accepted].paced = false;
            connections[accepted].length = 0;
            wanted.data.fd = accepted;
            epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &wanted);
        }
    }
}
