/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots between servers, for raftd, which carries them: the newest one is read out piece by
 * piece, and another server's is put together in snapshots/incoming-<index>-<term>, where a restart
 * of either side goes on. What arrived is believed only when its checksums hold and it opens as a
 * state at the index that was announced; then it takes its place among ours by one rename, and the
 * feed will say that it is needed (feed.c).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalogd/catalogd.h"
#include "catalogd/sums.h"

/* ---- reading ---- */

static void outgoing_close(struct outgoing *o)
{
	if (o->index) {
		close(o->data_fd);
		close(o->sums_fd);
	}
	*o = (struct outgoing) { 0 };
}

static int part_open(
	const struct stores *s, uint64_t index, uint64_t term, const char *name, uint64_t *size_out)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	stores_path(s, path, "snapshots/%" PRIu64 "-%" PRIu64 "/%s", index, term, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st)) {
		close(fd);
		return -1;
	}
	*size_out = fd < 0 ? 0 : (uint64_t)st.st_size;
	return fd;
}

/* Its files stay open, so that what is being sent outlives its removal: it is not looked for again.
 */
static bool outgoing_open(struct catalogd *c, uint64_t index)
{
	struct outgoing fresh = { .index = index }, *o = &c->transfers.out;
	bool open = index && index == o->index;

	if (!open && !stores_snapshot_find(&c->stores, &fresh.index, &fresh.term)) {
		return false;
	}
	fresh.used = clock_mono();
	if (open || (fresh.index == o->index && fresh.term == o->term)) {
		o->used = fresh.used;
		return true;
	}
	fresh.data_fd =
		part_open(&c->stores, fresh.index, fresh.term, "data.mdb", &fresh.data_size);
	fresh.sums_fd = part_open(&c->stores, fresh.index, fresh.term, "sums", &fresh.sums_size);
	if (fresh.data_fd < 0 || fresh.sums_fd < 0) { /* of an earlier version: without sums */
		fd_close_own(&fresh.data_fd);
		fd_close_own(&fresh.sums_fd);
		return false;
	}
	outgoing_close(o);
	*o = fresh;
	return true;
}

void transfers_tidy(struct catalogd *c)
{
	struct outgoing *o = &c->transfers.out;

	if (o->index && mono_diff_ms(clock_mono(), o->used) > OUTGOING_IDLE_MS) {
		outgoing_close(o);
	}
}

/* The bytes at this offset of data.mdb followed by sums. */
static bool outgoing_read(const struct outgoing *o, uint64_t offset, size_t n, struct buf *out)
{
	char *to = buf_reserve(out, n);

	while (n) {
		bool in_data = offset < o->data_size;
		uint64_t part_end = in_data ? o->data_size : o->data_size + o->sums_size;
		size_t want = min_of((uint64_t)n, part_end - offset);
		ssize_t got = pread(in_data ? o->data_fd : o->sums_fd, to + out->n, want,
			(off_t)(in_data ? offset : offset - o->data_size));

		if (got <= 0) {
			return false;
		}
		out->n += (size_t)got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return true;
}

static void read_reply(struct catalogd *c, struct ipc_call *call, const struct snapshot_read *m)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	const struct outgoing *o = &c->transfers.out;
	struct snapshot_read_reply reply = {
		.index = o->index, .term = o->term, .size = o->data_size + o->sums_size
	};
	size_t n = min_of(m->bytes_max, (uint32_t)TRANSFER_CHUNK_MAX);

	if (m->offset > reply.size) {
		ipc_refuse(call, ST_INVALID);
		return;
	}
	if (!outgoing_read(o, m->offset, min_of((uint64_t)n, reply.size - m->offset), &bytes)) {
		log_error("snapshot-unreadable", "index=%" PRIu64 " errno=%d", o->index, errno);
		ipc_refuse(call, ST_STORAGE);
		return;
	}
	reply.bytes = buf_str(&bytes);
	IPC_REPLY(call, snapshot_read, &reply);
}

/* A reader that waits for the first snapshot to be taken. */
struct reader {
	struct list link;
	struct ipc_call *call;
	struct snapshot_read question;
};

void handle_snapshot_read(struct catalogd *c, struct ipc_call *call, const struct snapshot_read *m)
{
	struct reader *r;

	if (outgoing_open(c, m->index)) {
		read_reply(c, call, m);
		return;
	}
	if (m->index || !c->feed.applied) {
		ipc_refuse(call, ST_NOT_FOUND);
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->call = call;
	r->question = *m;
	list_add_tail(&c->transfers.readers, &r->link);
	snapshot_now(c);
}

void transfers_snapshot_done(struct catalogd *c)
{
	struct reader *r;

	while ((r = list_first(&c->transfers.readers, struct reader, link))) {
		list_del(&r->link);
		if (outgoing_open(c, 0)) {
			read_reply(c, r->call, &r->question);
		} else {
			ipc_refuse(r->call, ST_NOT_FOUND);
		}
		free(r);
	}
}

/* ---- writing ---- */

struct arrival {
	struct worker_job job;
	struct stores stores; /* names only */
	uint64_t index, term;
	int error;
};

static void incoming_path(const struct incoming *in, const struct stores *s, char out[PATH_MAX])
{
	stores_path(s, out, "snapshots/incoming-%" PRIu64 "-%" PRIu64, in->index, in->term);
}

static void incoming_close(struct incoming *in)
{
	if (in->index) {
		close(in->fd);
	}
	*in = (struct incoming) { 0 };
}

/* All but this one; index 0: all. */
static void incoming_remove_others(struct catalogd *c, const struct incoming *kept)
{
	char path[PATH_MAX], keep[PATH_MAX] = "";
	struct dirent *e;
	DIR *d;

	if (kept->index) {
		snprintf(keep, sizeof(keep), "incoming-%" PRIu64 "-%" PRIu64, kept->index,
			kept->term);
	}
	stores_path(&c->stores, path, "snapshots");
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, "incoming-", 9) == 0 && strcmp(e->d_name, keep) != 0) {
			stores_path(&c->stores, path, "snapshots/%s", e->d_name);
			stores_remove(path);
		}
	}
	if (d) {
		closedir(d);
	}
}

static int incoming_open(struct catalogd *c, const struct snapshot_write *m)
{
	struct incoming *in = &c->transfers.in;
	char path[PATH_MAX], directory[PATH_MAX];
	struct stat st;

	incoming_close(in);
	*in = (struct incoming) { .index = m->index, .term = m->term, .size = m->size, .fd = -1 };
	incoming_remove_others(c, in);
	incoming_path(in, &c->stores, directory);
	stores_path(&c->stores, path, "snapshots/incoming-%" PRIu64 "-%" PRIu64 "/stream",
		in->index, in->term);
	if (mkdir(directory, 0750) == 0 || errno == EEXIST) {
		in->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	}
	if (in->fd < 0 || fstat(in->fd, &st)) {
		log_error("snapshot-not-stored", "path=%s errno=%d", path, errno);
		in->index = 0;
		return ST_STORAGE;
	}
	in->have = (uint64_t)st.st_size;
	if (in->have > in->size) { /* of another snapshot at the same index */
		in->have = ftruncate(in->fd, 0) ? in->size : 0;
	}
	log_info("snapshot-arriving", "index=%" PRIu64 " size=%" PRIu64 " from=%" PRIu64, in->index,
		in->size, in->have);
	return 0;
}

/* A call that waits for the check of what has arrived. */
struct writer {
	struct list link;
	struct ipc_call *call;
};

static void write_reply(struct ipc_call *call, uint64_t wanted, bool installed)
{
	struct snapshot_write_reply reply = { .wanted = wanted, .installed = installed };

	IPC_REPLY(call, snapshot_write, &reply);
}

/* Opens it, as the loop will when it begins from it. */
static int arrival_open(const struct arrival *j, const char *directory)
{
	uint64_t index, term;
	int r = snapshot_identify(directory, &index, &term);

	return r ? r : index == j->index && term == j->term ? 0 : ST_CORRUPT;
}

static void arrival_work(struct worker_job *job)
{
	struct arrival *j = container_of(job, struct arrival, job);
	struct incoming in = { .index = j->index, .term = j->term };
	char directory[PATH_MAX], final[PATH_MAX], parent[PATH_MAX];

	incoming_path(&in, &j->stores, directory);
	j->error = sums_unpack(directory);
	if (!j->error) {
		j->error = sums_check(directory, j->index, j->term);
	}
	if (!j->error) {
		j->error = arrival_open(j, directory);
	}
	if (!j->error) {
		j->error = stores_sync_directory(directory);
	}
	if (j->error) {
		stores_remove(directory);
		return;
	}
	stores_path(&j->stores, final, "snapshots/%" PRIu64 "-%" PRIu64, j->index, j->term);
	stores_path(&j->stores, parent, "snapshots");
	stores_remove(final);
	if (rename(directory, final)) {
		j->error = err_errno("rename %s", final);
		return;
	}
	j->error = stores_sync_directory(parent);
	stores_snapshots_prune(&j->stores, SNAPSHOTS_KEPT);
}

static void writers_end(struct catalogd *c, int status)
{
	struct writer *w;

	while ((w = list_first(&c->transfers.writers, struct writer, link))) {
		list_del(&w->link);
		if (status) {
			ipc_refuse(w->call, status);
		} else {
			write_reply(w->call, c->transfers.in.size, true);
		}
		free(w);
	}
}

static void arrival_drop(struct worker_job *job)
{
	free(container_of(job, struct arrival, job));
}

static void arrival_done(struct catalogd *c, struct worker_job *job)
{
	struct arrival *j = container_of(job, struct arrival, job);

	if (j->error) {
		log_error("snapshot-refused", "index=%" PRIu64 " error=\"%s\"", j->index,
			j->error < 0 ? err_text() : status_name(j->error));
		writers_end(c, j->error < 0 ? ST_STORAGE : ST_CORRUPT);
	} else {
		log_notice(
			"snapshot-arrived", "index=%" PRIu64 " term=%" PRIu64, j->index, j->term);
		c->snapshots.last_index = max_of(c->snapshots.last_index, j->index);
		writers_end(c, 0);
	}
	incoming_close(&c->transfers.in);
	arrival_drop(job);
}

static void check_begin(struct catalogd *c)
{
	struct incoming *in = &c->transfers.in;
	struct arrival *j = xcalloc(1, sizeof(*j));

	j->job = (struct worker_job) {
		.work = arrival_work, .done = arrival_done, .drop = arrival_drop
	};
	j->stores = c->stores;
	j->index = in->index;
	j->term = in->term;
	in->checking = true;
	worker_add(c->worker, &j->job);
}

static void wait_for_check(struct catalogd *c, struct ipc_call *call)
{
	struct writer *w = xcalloc(1, sizeof(*w));

	w->call = call;
	list_add_tail(&c->transfers.writers, &w->link);
}

/* What has arrived is given back: it may be what the disk is full of. */
static void incoming_drop(struct catalogd *c)
{
	char directory[PATH_MAX];

	incoming_path(&c->transfers.in, &c->stores, directory);
	incoming_close(&c->transfers.in);
	stores_remove(directory);
}

/* false: the disk refuses. */
static bool incoming_append(struct incoming *in, struct str bytes)
{
	size_t done = 0;

	while (done < bytes.n) {
		ssize_t n =
			pwrite(in->fd, bytes.p + done, bytes.n - done, (off_t)(in->have + done));

		if (n < 0) {
			return false;
		}
		done += (size_t)n;
	}
	in->have += done;
	return true;
}

void handle_snapshot_write(
	struct catalogd *c, struct ipc_call *call, const struct snapshot_write *m)
{
	struct incoming *in = &c->transfers.in;
	bool same =
		in->index && in->index == m->index && in->term == m->term && in->size == m->size;
	int r = 0;

	if (!m->index || !m->size) {
		ipc_refuse(call, ST_INVALID);
		return;
	}
	if (in->checking && !same) {
		ipc_refuse(call, ST_FULL); /* soon */
		return;
	}
	if (!in->checking && stores_snapshot_newest(&c->stores) >= m->index) {
		write_reply(call, m->size, true); /* that state, or a later one, is here */
		return;
	}
	if (!same) {
		r = incoming_open(c, m);
	}
	if (!r && !in->checking && m->offset == in->have && m->bytes.n <= in->size - in->have &&
		!incoming_append(in, m->bytes)) {
		log_error("snapshot-not-stored", "index=%" PRIu64 " errno=%d", in->index, errno);
		incoming_drop(c);
		r = ST_STORAGE;
	}
	if (r) {
		ipc_refuse(call, r);
	} else if (in->have < in->size) {
		write_reply(call, in->have, false);
	} else {
		wait_for_check(c, call);
		if (!in->checking) {
			check_begin(c);
		}
	}
}

/* ---- life ---- */

void snapshot_transfers_init(struct catalogd *c)
{
	list_init(&c->transfers.readers);
	list_init(&c->transfers.writers);
}

/* Calls stay unanswered: they are asked again of the process after us. */
void snapshot_transfers_fini(struct catalogd *c)
{
	struct reader *r, *next_reader;
	struct writer *w, *next_writer;

	list_for_each_safe (r, next_reader, &c->transfers.readers, link) {
		free(r);
	}
	list_for_each_safe (w, next_writer, &c->transfers.writers, link) {
		free(w);
	}
	outgoing_close(&c->transfers.out);
	incoming_close(&c->transfers.in);
}
