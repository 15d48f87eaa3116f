/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saving: raftd tells who is in the quorum; the worker copies the environment, writes its records
 * as state.bin and packs the archive, as a file of the run directory that the caller takes over.
 * What the archive holds is the copy's index, whatever happens meanwhile.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalogd/archive.h"

#include "common/sys/archive.h"
#include "common/sys/files.h"
#include "common/sys/share.h"

/* The caller takes a file over at once; what is still there after KEEP_S has lost its caller. */
enum { CONFIGURATION_TIMEOUT_MS = 5000, SERVERS_MAX = 32, RECORD_KEEP = 64 << 10, KEEP_S = 10 };

#define SAVED	    "catalogd/saved"
#define FILE_PREFIX "archive-"

struct save_job {
	struct worker_job job;
	struct list link; /* in archives */
	struct catalogd *c;
	struct ipc_call *call;
	struct ipc_pending *pending;
	struct stores stores; /* names only */
	struct db *state;
	char path[64];	    /* of the archive, in the run directory */
	struct buf servers; /* JSON of the quorum's servers */
	struct buf peers;   /* the same as a msgpack array of addresses */
	uint64_t configuration_index;
	uint64_t index, term;
	int64_t now_ms;
	int error;
	char text[256];
};

/* ---- in the worker ---- */

static int put_all(int fd, struct buf *bytes)
{
	size_t at = 0;

	while (at < bytes->n) {
		ssize_t n = write(fd, bytes->p + at, bytes->n - at);

		if (n < 0) {
			return err_errno("write state.bin");
		}
		at += (size_t)n;
	}
	buf_trim(bytes, RECORD_KEEP);
	return 0;
}

/* Magic, then each record with its length. */
static int records_write(struct kv_txn *t, int fd)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct catalog_snapshot s;
	struct snapshot_record r;
	int error = 0;

	buf_put_cstr(&out, archive_magic);
	catalog_snapshot_init(&s, t);
	while (!error && catalog_snapshot_next(&s, &r)) {
		size_t at = out.n;
		uint32_t n;

		buf_put_u32(&out, 0);
		snapshot_record_encode(&out, &r);
		n = (uint32_t)(out.n - at - sizeof(n));
		memcpy(out.p + at, &n, sizeof(n));
		if (out.n >= RECORD_KEEP) {
			error = put_all(fd, &out);
		}
	}
	return error ? error : put_all(fd, &out);
}

static void meta_render(const struct save_job *j, off_t size, struct buf *out)
{
	buf_printf(out,
		"{\"Version\":1,\"ID\":\"%" PRIu64 "-%" PRIu64 "-%" PRId64 "\",\"Index\":%" PRIu64
		",\"Term\":%" PRIu64,
		j->term, j->index, j->now_ms, j->index, j->term);
	buf_put_lit(out, ",\"Peers\":\"");
	base64_render(out, j->peers.p, j->peers.n);
	buf_put_lit(out, "\",\"Configuration\":{\"Servers\":[");
	buf_put_str(out, buf_str(&j->servers));
	buf_printf(out, "]},\"ConfigurationIndex\":%" PRIu64 ",\"Size\":%lld}\n",
		j->configuration_index, (long long)size);
}

static int pack(struct save_job *j, int state_fd)
{
	OWN_EMBEDDED(buf_fini) struct buf meta = { 0 };
	OWN_FD int fd = open(j->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	struct archive_member members[] = { { "meta.json", STR_NONE, -1 },
		{ "state.bin", STR_NONE, state_fd } };

	int r = fd < 0 ? err_errno("create %s", j->path)
		       : share_file(j->path, "catalogd/write", 0640);

	if (r) {
		return r;
	}
	meta_render(j, lseek(state_fd, 0, SEEK_END), &meta);
	members[0].bytes = buf_str(&meta);
	return archive_write(fd, members, ARRAY_SIZE(members));
}

static int save_copy(struct save_job *j, const char *directory)
{
	struct db_options options = { .directory = directory,
		.tables = STATE_TABLES_COUNT,
		.table_names = state_table_names,
		.mode = DB_READ };
	OWN(db_free) struct db *copy = NULL;
	OWN_FD int fd = -1;
	struct kv_txn *t;
	int r = db_open(&options, &copy);

	if (r) {
		return r < 0 ? r : err_new(-EIO, "open the copy: %s", status_name(r));
	}
	fd = open(directory, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	t = db_read(copy);
	if (fd < 0 || !t) {
		return err_errno("read the copy");
	}
	j->index = catalog_applied(t, &j->term);
	r = records_write(t, fd);
	kv_abort(t);
	return r ? r : pack(j, fd);
}

static void save_work(struct worker_job *job)
{
	struct save_job *j = container_of(job, struct save_job, job);
	char directory[PATH_MAX];

	stores_path(&j->stores, directory, "snapshots/saving");
	stores_remove(directory);
	if (mkdir(directory, 0750)) {
		j->error = err_errno("mkdir %s", directory);
	} else {
		j->error = db_copy(j->state, directory);
	}
	if (!j->error) {
		j->error = save_copy(j, directory);
	}
	if (j->error) {
		snprintf(j->text, sizeof(j->text), "%s", err_text());
		unlink(j->path);
	}
	stores_remove(directory);
}

/* ---- in the loop ---- */

static void save_reply(struct save_job *j, enum result_kind kind, struct str text)
{
	struct snapshot_save_reply reply = { .result = { .kind = (uint8_t)kind, .text = text },
		.path = str_of(j->path),
		.index = j->index,
		.term = j->term };

	IPC_REPLY(take(j->call), snapshot_save, &reply);
}

static void save_free(struct save_job *j)
{
	if (j->pending) {
		ipc_cancel(j->pending);
	}
	list_del(&j->link);
	buf_fini(&j->servers);
	buf_fini(&j->peers);
	free(j);
}

static void save_drop(struct worker_job *job)
{
	save_free(container_of(job, struct save_job, job));
}

static void save_done(struct catalogd *c, struct worker_job *job)
{
	struct save_job *j = container_of(job, struct save_job, job);

	if (j->error) {
		log_error("archive-failed", "error=\"%s\"", j->text);
		save_reply(j, RESULT_ERROR, str_of(j->text));
	} else {
		save_reply(j, RESULT_OK, STR_NONE);
		loop_timer_in(&c->archives_sweep, (KEEP_S + 1) * 1000);
	}
	save_free(j);
}

static void server_render(struct save_job *j, const struct raft_server *s)
{
	struct jsonw w = jsonw_of(&j->servers);

	w.comma = j->servers.n > 0;
	jsonw_open(&w, '{');
	jsonw_put_u64(&w, "Suffrage", s->voter ? 0 : 1);
	jsonw_put_str(&w, "ID", s->id);
	jsonw_put_str(&w, "Address", s->address);
	jsonw_close(&w, '}');
	buf_put_u8(
		&j->peers, (uint8_t)(0xa0 | min_of(s->address.n, (size_t)31))); /* msgpack fixraw */
	buf_put_str(&j->peers, str_cut(s->address, 31));
}

static void on_configuration(void *arg, int status, struct str payload)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct save_job *j = arg;
	struct raft_configuration_reply m;

	j->pending = NULL;
	if (status || raft_configuration_reply_decode(payload, &arena, &m)) {
		ipc_refuse(take(j->call), status ? status : ST_INVALID);
		save_free(j);
		return;
	}
	m.servers.count = min_of(m.servers.count, (uint32_t)15);
	buf_put_u8(&j->peers, (uint8_t)(0x90 | m.servers.count)); /* msgpack fixarray */
	for (uint32_t i = 0; i < m.servers.count; i++) {
		server_render(j, &m.servers.items[i]);
	}
	j->configuration_index = m.configuration_index;
	j->stores = j->c->stores;
	j->state = j->c->stores.state;
	list_del(&j->link); /* the worker's from now on */
	worker_add(j->c->worker, &j->job);
}

void handle_snapshot_save(struct catalogd *c, struct ipc_call *call, const struct snapshot_save *m)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct snapshot_save_reply denied = { .result = { .kind = RESULT_DENIED } };
	struct raft_configuration question = {};
	struct rights rights;
	struct ipc_pending *pending;
	struct save_job *j;

	rights_resolve(c, m->token, &rights);
	if (rights_check_management(&rights, &why)) {
		denied.result.text = buf_str(&why);
		IPC_REPLY(call, snapshot_save, &denied);
		return;
	}
	if (!c->shown.ready || worker_busy(c->worker)) {
		ipc_refuse(call, c->shown.ready ? ST_FULL : ST_NOT_READY);
		return;
	}
	j = xcalloc(1, sizeof(*j));
	j->job = (struct worker_job) { .work = save_work, .done = save_done, .drop = save_drop };
	j->c = c;
	j->call = call;
	j->now_ms = wall_ms(clock_wall());
	snprintf(j->path, sizeof(j->path), SAVED "/" FILE_PREFIX "%016" PRIx64, random_u64());
	list_add_tail(&c->archives, &j->link);
	pending = IPC_CALL(c->raft_read, raft_configuration, &question, CONFIGURATION_TIMEOUT_MS,
		on_configuration, j);
	if (pending) {
		j->pending = pending; /* NULL: refused already, and j is gone */
	}
}

static void on_sweep(void *arg)
{
	files_remove(SAVED, STR(FILE_PREFIX), KEEP_S);
}

void archives_init(struct catalogd *c)
{
	list_init(&c->archives);
	loop_timer_init(&c->archives_sweep, c->daemon->loop, on_sweep, c);
	files_remove(SAVED, STR(FILE_PREFIX), 0);
}

void archives_fini(struct catalogd *c)
{
	struct save_job *j, *following;

	loop_timer_stop(&c->archives_sweep);
	list_for_each_safe (j, following, &c->archives, link) {
		save_free(j);
	}
	restore_fini(c);
}
