/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.json: the way out when the majority of a quorum is lost for good. The operator writes who
 * takes part from now on into raft/peers.json of every server that is left, in Consul's format, and
 * starts them; the file is read once, and put aside as peers.json.applied.
 *
 *     [{"id": "<node id>", "address": "10.0.0.1:8300", "non_voter": false}, ...]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "raftd/raftd.h"

enum { FILE_MAX = 64 << 10 };

struct recovery_row {
	struct str id, address;
	bool non_voter;
};

static const struct bind_field fields[] = {
	{ .name = "id", .type = BIND_STR, .offset = offsetof(struct recovery_row, id) },
	{ .name = "address", .type = BIND_STR, .offset = offsetof(struct recovery_row, address) },
	{ .name = "non_voter",
		.type = BIND_BOOL,
		.offset = offsetof(struct recovery_row, non_voter) },
};
static const struct bind_object object = {
	.go_name = "peers.json", .size = sizeof(struct recovery_row), BIND_FIELDS(fields)
};

static void path_put(const struct raftd *r, const char *name, struct buf *out)
{
	buf_printf(out, STR_FMT "/raft/%s", STR_ARG(r->daemon->conf->data_dir), name);
}

/* ST_NOT_FOUND: there is none. */
static int file_read(const char *path, struct buf *out, struct buf *why)
{
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0 && errno == ENOENT) {
		return ST_NOT_FOUND;
	}
	n = fd < 0 ? -1 : read(fd, buf_reserve(out, FILE_MAX), FILE_MAX);
	if (n < 0) {
		buf_printf(why, "%s: %s", path, strerror(errno));
		return ST_INVALID;
	}
	out->n = (size_t)n;
	return 0;
}

static int row_take(const struct recovery_row *row, struct configuration *c, struct buf *why)
{
	struct configuration_server *s = &c->servers[c->count];
	struct net_address address;
	struct uuid id;

	if (c->count == RAFT_SERVERS_MAX) {
		buf_printf(why, "more than %d servers", RAFT_SERVERS_MAX);
		return ST_INVALID;
	}
	if (uuid_parse(row->id, &id) || configuration_find(c, &id)) {
		buf_printf(
			why, "id \"" STR_FMT "\" is no node id, or there twice", STR_ARG(row->id));
		return ST_INVALID;
	}
	if (row->address.n >= RAFT_ADDRESS_SIZE || net_address_parse(row->address, -1, &address)) {
		buf_printf(why, "address \"" STR_FMT "\" is no IP address with a port",
			STR_ARG(row->address));
		return ST_INVALID;
	}
	*s = (struct configuration_server) { .id = id, .voter = !row->non_voter };
	memcpy(s->address, row->address.p, row->address.n);
	c->count++;
	return 0;
}

static int rows_take(struct str text, struct configuration *c, struct buf *why)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	const struct json *item;
	struct json *all;
	int status = json_parse(&arena, text, &all, why);

	if (status == 0 && all->type != JSON_ARRAY) {
		buf_put_cstr(why, "it is no array");
		status = ST_INVALID;
	}
	if (status) {
		return status;
	}
	json_for_each (item, all) {
		struct recovery_row row = { 0 };

		status = bind_object(&object, item, &arena, &row, why);
		status = status ? status : row_take(&row, c, why);
		if (status) {
			return status;
		}
	}
	if (configuration_voters(c) == 0) {
		buf_put_cstr(why, "it names no voter");
		return ST_INVALID;
	}
	return 0;
}

int raftd_recovery_read(struct raftd *r, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, text = { 0 };
	int status;

	path_put(r, "peers.json", &path);
	status = file_read(buf_cstr(&path), &text, why);
	if (status == ST_NOT_FOUND) {
		return 0;
	}
	if (status == 0) {
		buf_printf(why, "%s: ", buf_cstr(&path));
		status = rows_take(buf_str(&text), &r->recovery, why);
	}
	if (status == 0) {
		buf_clear(why);
		r->recovered = true;
	}
	return status;
}

/* A file that came back would be applied again, and make another cluster once more: so its new name
 * is durable, and it has its old one until what it says is. */
static void put_aside(struct raftd *r)
{
	OWN_EMBEDDED(buf_fini) struct buf from = { 0 }, to = { 0 };

	path_put(r, "peers.json", &from);
	path_put(r, "peers.json.applied", &to);
	log_warning("recovered", "servers=%zu reason=\"raft/peers.json was applied\"",
		r->recovery.count);
	if (rename(buf_cstr(&from), buf_cstr(&to))) {
		log_error("recovery", "error=\"cannot rename %s: %s\"", buf_cstr(&from),
			strerror(errno));
	} else if (disk_sync_names(r->disk)) {
		log_error("recovery", "error=\"%s\"", err_text());
	}
}

void raftd_recovery_turn(struct raftd *r)
{
	if (r->recovered && !r->node.raft.persisting) {
		put_aside(r);
		r->recovered = false;
	}
}
