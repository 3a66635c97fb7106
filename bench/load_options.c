#include "bench/load.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const struct conf_option options[] = {
    {"host", CONF_STRING, offsetof(struct load_options, host), 0, 0, "ADDRESS", "IPv4 address in 127.0.0.0/8"},
    {"port", CONF_INT, offsetof(struct load_options, port), 1, 65535, "PORT", "where the server listens"},
    {"path", CONF_STRING, offsetof(struct load_options, path), 0, 0, "PATH", "what is asked for"},
    {"connections", CONF_INT, offsetof(struct load_options, connections), 1, 4096, "N", "keep-alive connections"},
    {"requests", CONF_INT, offsetof(struct load_options, requests), 0, 10000000, "N", "how many; 0: as many as fit"},
    {"seconds", CONF_INT, offsetof(struct load_options, seconds), 1, 600, "S", "how long, without --requests"},
    {"deadline", CONF_INT, offsetof(struct load_options, deadline), 1, 3600, "S", "gives up after so long"},
    {"warmup", CONF_INT, offsetof(struct load_options, warmup), 0, 1000000, "N", "answers not counted"},
    {"server-ids", CONF_BOOL, offsetof(struct load_options, server_ids), 0, 0, NULL, "orders carry no order_id"},
    {"key", CONF_BOOL, offsetof(struct load_options, key), 0, 0, NULL, "send an Idempotency-Key"},
    {"retry", CONF_BOOL, offsetof(struct load_options, retry), 0, 0, NULL, "reconnect after errors until the deadline"},
    {"acks", CONF_STRING, offsetof(struct load_options, acks), 0, 0, "FILE", "acknowledged order ids, a line each"},
    {"ids-from", CONF_STRING, offsetof(struct load_options, ids_from), 0, 0, "FILE", "GET the path for each id"},
    {NULL},
};

static int check(const struct load_options *o, struct err *e) {
    struct in_addr a;
    if (inet_pton(AF_INET, o->host, &a) != 1 || (ntohl(a.s_addr) >> 24) != 127)
        return err_set(e, ERR_CONFIG, "--host %s: only 127.0.0.0/8 is loaded", o->host);
    if (!o->port) return err_set(e, ERR_CONFIG, "--port is missing");
    if (o->path[0] != '/' || strpbrk(o->path, " \r\n")) return err_set(e, ERR_CONFIG, "--path %s is no path", o->path);
    if (o->ids_from && (!strstr(o->path, "%s") || o->acks))
        return err_set(e, ERR_CONFIG, "--ids-from needs a --path with %%s in it, and no --acks");
    return 0;
}

int load_options(int argc, char **argv, struct load_options *ret, struct err *e) {
    const struct load_options defaults = {
        .host = "127.0.0.1", .path = "/orders", .connections = 64, .seconds = 5, .deadline = 120};
    bool help = false;
    *ret = defaults;
    if (conf_parse(options, ret, argc, argv, &argc, &help, e)) return -1;
    if (help) {
        struct buf b = BUF_MAX(1 << 16);
        conf_help(&b, options, &defaults);
        printf("usage: perigee_load --port PORT [options]\n%s", buf_cstr(&b));
        buf_free(&b);
        return 1;
    }
    if (argc > 1) return err_set(e, ERR_CONFIG, "unexpected argument '%s'", argv[1]);
    return check(ret, e);
}
