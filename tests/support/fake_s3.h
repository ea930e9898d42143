/*
 * fake_s3: starts tests/support/fake_s3.py (or s3.py's MinIO), talks to its control
 * address and ends it by its process id. The helper also ends when this process does.
 *
 * Threads  one
 */
#ifndef TILTH_TESTS_FAKE_S3_H
#define TILTH_TESTS_FAKE_S3_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct helper {
    pid_t pid;
    int in;         /* its standard input: it ends when this is closed */
    char line[256]; /* the first line it printed */
    int port;       /* of fake_s3 */
};

/* Runs python3 with `argv` (ended by NULL) and waits for its first line. */
static inline struct helper helper_start(char *const *argv)
{
    struct helper helper = {.pid = -1};
    int in[2], out[2];

    /* CLOEXEC: another helper must not keep the pipe of this one open. */
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        abort();
    helper.pid = fork();
    if (helper.pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    helper.in = in[1];
    FILE *lines = fdopen(out[0], "r");
    if (!lines || !fgets(helper.line, sizeof(helper.line), lines))
        helper.line[0] = '\0';
    if (lines)
        fclose(lines);
    return helper;
}

static inline void helper_stop(struct helper *helper)
{
    int status;

    close(helper->in);
    if (helper->pid > 0)
        waitpid(helper->pid, &status, 0);
    helper->pid = -1;
}

/* With up to six more arguments of fake_s3.py, ended by NULL. */
static inline struct helper fake_s3_start(const char *const *more)
{
    static char script[] = TILTH_ROOT "/tests/support/fake_s3.py";
    static char python[] = "python3", until_eof[] = "--until-eof";
    char copies[8][128];
    char *argv[16] = {python, script, until_eof};

    for (int i = 0; more && more[i] && i < 8; i++) {
        snprintf(copies[i], sizeof(copies[i]), "%s", more[i]);
        argv[3 + i] = copies[i];
    }
    struct helper helper = helper_start(argv);
    if (sscanf(helper.line, "listening %d", &helper.port) != 1) {
        fprintf(stderr, "fake_s3.py did not start: \"%s\"\n", helper.line);
        abort();
    }
    return helper;
}

/* One control request; the answer's body is the caller's to free(). */
static inline char *fake_s3_call(const struct helper *helper, const char *method, const char *path,
                                 const void *body, size_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)helper->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char head[512];
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(sock, (struct sockaddr *)&at, sizeof(at)) != 0)
        abort();
    int n = snprintf(head, sizeof(head), "%s /_fake/%s HTTP/1.1\r\ncontent-length: %zu\r\n\r\n",
                     method, path, size);
    if (write(sock, head, (size_t)n) != n)
        abort();
    for (size_t sent = 0; sent < size;) {
        ssize_t part = write(sock, (const char *)body + sent, size - sent);
        if (part <= 0)
            abort();
        sent += (size_t)part;
    }
    shutdown(sock, SHUT_WR);
    size_t room = 1 << 20, got = 0;
    char *answer = malloc(room + 1);
    for (ssize_t part; answer && (part = read(sock, answer + got, room - got)) > 0;)
        got += (size_t)part;
    close(sock);
    if (!answer)
        abort();
    answer[got] = '\0';
    char *end = strstr(answer, "\r\n\r\n");
    if (!end || strncmp(answer, "HTTP/1.1 200", 12) != 0)
        abort();
    memmove(answer, end + 4, strlen(end + 4) + 1);
    return answer;
}

static inline void fake_s3_put(const struct helper *helper, const char *key, const void *bytes,
                               size_t size)
{
    char path[256];

    snprintf(path, sizeof(path), "put/%s", key);
    free(fake_s3_call(helper, "PUT", path, bytes, size));
}

/* `faults` is the JSON list of fake_s3.py. */
static inline void fake_s3_fault(const struct helper *helper, const char *key, const char *faults)
{
    char path[256];

    snprintf(path, sizeof(path), "faults/%s", key);
    free(fake_s3_call(helper, "POST", path, faults, strlen(faults)));
}

static inline void fake_s3_reset(const struct helper *helper)
{
    free(fake_s3_call(helper, "POST", "reset", "", 0));
}

struct fake_log {
    int fetches;    /* GETs */
    uint64_t bytes; /* of bodies with data */
    char text[1 << 16];
};

/* What was asked for since the last reset. */
static inline void fake_s3_log(const struct helper *helper, struct fake_log *ret_log)
{
    char *text = fake_s3_call(helper, "GET", "log", "", 0);

    ret_log->fetches = 0;
    ret_log->bytes = 0;
    snprintf(ret_log->text, sizeof(ret_log->text), "%s", text);
    for (const char *at = text; (at = strstr(at, "\"bytes\": ")); at++) {
        ret_log->fetches++;
        ret_log->bytes += strtoull(at + 9, NULL, 10);
    }
    free(text);
}

#endif
