/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring an archive: the worker unpacks and checks all of it into a file without a name; then
 * its records go through the log, a few parts at a time, and the last command puts them in place of
 * the state, on every server at the same index.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "catalogd/archive.h"

#include "common/sys/archive.h"

enum {
	META_MAX = 1 << 20,
	MAGIC_SIZE = sizeof(archive_magic) - 1,
	RECORD_MAX = 8 << 20, /* raftd takes no larger command */
};

struct restore {
	struct worker_job job;
	struct catalogd *c;
	struct ipc_call *call;
	struct uuid id;
	char path[PATH_MAX];
	int fd; /* of the unpacked state.bin */
	int status;
	struct buf why;
	/* sending */
	struct buf part;
	off_t at;
	uint32_t sent, outstanding;
	bool all_sent, failed;
};

/* ---- in the worker ---- */

static int meta_check(struct str bytes, struct buf *why)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct json *meta;

	if (bytes.n && !json_parse(&arena, bytes, &meta, &text)) {
		return 0;
	}
	buf_put_lit(why, "failed to decode snapshot metadata: ");
	if (!text.n || str_eq(buf_str(&text), STR("EOF")) ||
		str_eq(buf_str(&text), STR("unexpected EOF"))) {
		buf_put_lit(why, "unexpected end of JSON input");
	} else {
		buf_put_str(why, buf_str(&text));
	}
	return ST_INVALID;
}

/*
 * Fills part with whole records from *at on, as many as fit (at least one), and moves *at behind
 * them. ST_NOT_FOUND at the end, ST_INVALID when what is there are no records, or too large ones.
 */
static int part_read(int fd, off_t *at, struct buf *part)
{
	size_t want = RESTORE_CHUNK_MAX, whole = 0;
	uint32_t n;

	for (;;) {
		ssize_t got = pread(fd, (buf_clear(part), buf_reserve(part, want)), want, *at);

		if (got < 0) {
			return err_errno("read state.bin");
		}
		part->n = (size_t)got;
		while (part->n - whole > sizeof(n)) {
			memcpy(&n, part->p + whole, sizeof(n));
			if (n > part->n - whole - sizeof(n)) {
				break;
			}
			whole += sizeof(n) + n;
		}
		if (whole || (size_t)got < want || want >= RECORD_MAX) {
			break;
		}
		want *= 2; /* one large record */
	}
	if (!whole) {
		return part->n ? ST_INVALID : ST_NOT_FOUND;
	}
	part->n = whole;
	*at += (off_t)whole;
	return 0;
}

static int records_check(int fd, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf part = { 0 };
	char magic[MAGIC_SIZE];
	off_t at = MAGIC_SIZE;
	int r;

	if (pread(fd, magic, sizeof(magic), 0) != sizeof(magic) ||
		memcmp(magic, archive_magic, MAGIC_SIZE) != 0) {
		buf_put_lit(why,
			"failed to restore snapshot: the state in it was not written by muster");
		return ST_INVALID;
	}
	do {
		r = part_read(fd, &at, &part);
		if (!r) {
			r = catalog_snapshot_check(buf_str(&part));
		}
	} while (!r);
	if (r == ST_INVALID) {
		buf_put_lit(why, "failed to restore snapshot: malformed records");
	}
	return r == ST_NOT_FOUND ? 0 : r;
}

static void restore_work(struct worker_job *job)
{
	struct restore *j = container_of(job, struct restore, job);
	OWN_EMBEDDED(buf_fini) struct buf meta = { 0 };
	OWN_FD int fd = open(j->path, O_RDONLY | O_CLOEXEC);
	const struct archive_slot slots[] = {
		{ "meta.json", "snapshot metadata", -1, &meta, META_MAX, meta_check },
		{ "state.bin", "or write snapshot data", j->fd, NULL, ARCHIVE_STATE_MAX, NULL },
	};

	if (fd < 0) {
		j->status = err_errno("open %s", j->path);
	} else {
		j->status = archive_read(fd, slots, ARRAY_SIZE(slots), &j->why);
	}
	if (!j->status) {
		j->status = records_check(j->fd, &j->why);
	}
	if (j->status < 0) {
		buf_clear(&j->why);
		buf_put_cstr(&j->why, err_text());
	}
}

/* ---- in the loop ---- */

static void restore_reply(struct restore *j, enum result_kind kind, struct str text)
{
	struct snapshot_restore_reply reply = { .result = { .kind = (uint8_t)kind, .text = text } };

	IPC_REPLY(take(j->call), snapshot_restore, &reply);
}

static void restore_free(struct restore *j)
{
	j->c->restore = NULL;
	close(j->fd);
	buf_fini(&j->why);
	buf_fini(&j->part);
	free(j);
}

static void send_more(struct restore *j);

static void on_end(void *arg, int status, const struct result *result)
{
	struct restore *j = arg;

	if (status) {
		ipc_refuse(take(j->call), status);
	} else {
		restore_reply(j, (enum result_kind)result->kind, result->text);
		log_notice("state-restored", "parts=%u", j->sent);
	}
	restore_free(j);
}

/* begin and the parts; the first failure ends it, once nothing is on its way. */
static void on_part(void *arg, int status, const struct result *result)
{
	struct restore *j = arg;

	j->outstanding--;
	if (!j->failed && (status || result->kind != RESULT_OK)) {
		j->failed = true;
		if (status) {
			ipc_refuse(take(j->call), status);
		} else {
			restore_reply(j, RESULT_ERROR, result->text);
		}
	}
	if (!j->failed) {
		send_more(j);
	} else if (!j->outstanding) {
		restore_free(j);
	}
}

static void send_part(struct restore *j)
{
	struct cmd_restore_chunk cmd = { .restore = j->id, .number = j->sent };

	cmd.records = buf_str(&j->part);
	j->sent++;
	j->outstanding++;
	PROPOSE(j->c, cmd_restore_chunk, &cmd, on_part, j);
}

static void send_end(struct restore *j)
{
	struct cmd_restore_end cmd = { .restore = j->id, .chunks_count = j->sent };

	PROPOSE(j->c, cmd_restore_end, &cmd, on_end, j);
}

static void send_parts(struct restore *j)
{
	while (!j->all_sent && !j->failed && j->outstanding <= RESTORE_CHUNKS_AT_ONCE) {
		int r = part_read(j->fd, &j->at, &j->part);

		if (!r) {
			send_part(j);
			continue;
		}
		must(r == ST_NOT_FOUND || r < 0);
		j->all_sent = r == ST_NOT_FOUND;
		if (r < 0) {
			j->failed = true;
			restore_reply(j, RESULT_ERROR, str_of(err_text()));
		}
	}
}

/* A command may be refused at once, inside of the loop: one more is counted meanwhile, so that this
 * does not end it. */
static void send_more(struct restore *j)
{
	j->outstanding++;
	send_parts(j);
	j->outstanding--;
	if (j->outstanding) {
		return;
	}
	if (j->failed) {
		restore_free(j);
		return;
	}
	buf_fini(&j->part);
	buf_init(&j->part);
	send_end(j);
}

/* Checked: now it travels through the log. */
static void restore_send(struct restore *j)
{
	struct cmd_restore_begin cmd = { .restore = j->id };

	j->at = MAGIC_SIZE;
	j->outstanding = 2; /* as in send_more */
	PROPOSE(j->c, cmd_restore_begin, &cmd, on_part, j);
	j->outstanding--;
	if (!j->outstanding && j->failed) {
		restore_free(j);
	}
}

static void restore_done(struct catalogd *c, struct worker_job *job)
{
	struct restore *j = container_of(job, struct restore, job);

	if (j->status) {
		restore_reply(j, RESULT_ERROR, buf_str(&j->why));
		restore_free(j);
		return;
	}
	restore_send(j);
}

/* restore_fini frees it. */
static void restore_drop(struct worker_job *job)
{
}

void handle_snapshot_restore(
	struct catalogd *c, struct ipc_call *call, const struct snapshot_restore *m)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct snapshot_restore_reply denied = { .result = { .kind = RESULT_DENIED } };
	struct rights rights;
	struct restore *j;

	rights_resolve(c, m->token, &rights);
	if (rights_check_management(&rights, &why)) {
		denied.result.text = buf_str(&why);
		IPC_REPLY(call, snapshot_restore, &denied);
		return;
	}
	if (c->restore || m->path.n >= sizeof(j->path)) {
		ipc_refuse(call, c->restore ? ST_FULL : ST_INVALID);
		return;
	}
	j = xcalloc(1, sizeof(*j));
	j->job = (struct worker_job) {
		.work = restore_work, .done = restore_done, .drop = restore_drop
	};
	j->c = c;
	j->call = call;
	j->id = random_uuid();
	memcpy(j->path, m->path.p, m->path.n);
	c->restore = j;
	j->fd = open(c->stores.directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (j->fd < 0) {
		err_errno("make a file in %s", c->stores.directory);
		restore_reply(j, RESULT_ERROR, str_of(err_text()));
		restore_free(j);
		return;
	}
	worker_add(c->worker, &j->job);
}

void restore_fini(struct catalogd *c)
{
	if (c->restore) {
		restore_free(c->restore);
	}
}
