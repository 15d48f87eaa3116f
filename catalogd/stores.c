/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The environments are written without syncing, so after a crash of the machine their files are
 * worthless and must not even be opened. The mark says whether that can have happened: a small
 * synced file beside them, with the boot during which they were written and whether they were
 * synced at a clean end. What may not be trusted is left alone and a new generation begins from the
 * newest snapshot; the log brings it up to date.
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

enum { MARK_MAX = 256 };

struct mark {
	unsigned format;
	uint64_t generation;
	char boot[UUID_TEXT_SIZE + 1];
	unsigned clean;
};

void stores_path(const struct stores *s, char out[PATH_MAX], const char *format, ...)
{
	va_list args;
	int n = snprintf(out, PATH_MAX, "%s/", s->directory);

	must(n > 0 && n < PATH_MAX);
	va_start(args, format);
	n += vsnprintf(out + n, (size_t)(PATH_MAX - n), format, args);
	va_end(args);
	must(n < PATH_MAX);
}

int stores_sync_directory(const char *directory)
{
	OWN_FD int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd)) {
		return err_errno("sync %s", directory);
	}
	return 0;
}

void stores_remove(const char *directory)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(directory);

	if (!d) {
		return;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.' &&
			snprintf(path, sizeof(path), "%s/%s", directory, e->d_name) < PATH_MAX) {
			unlink(path);
		}
	}
	closedir(d);
	rmdir(directory);
}

/* false: there is none, or none that can be read. */
static bool mark_read(const struct stores *s, struct mark *out)
{
	char path[PATH_MAX], text[MARK_MAX];
	ssize_t n;

	stores_path(s, path, "mark");
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return false;
	}
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0) {
		return false;
	}
	text[n] = '\0';
	return sscanf(text, "format %u generation %" SCNu64 " boot %36s clean %u end", &out->format,
		       &out->generation, out->boot, &out->clean) == 4 &&
	       strstr(text, " end\n");
}

static int mark_write(const struct stores *s, bool clean)
{
	char path[PATH_MAX], fresh[PATH_MAX], text[MARK_MAX];
	char boot[UUID_TEXT_SIZE + 1];
	int n, r = boot_id_read(boot);

	if (r) {
		return err_pass(r);
	}
	stores_path(s, path, "mark");
	stores_path(s, fresh, "mark.new");
	n = snprintf(text, sizeof(text), "format %d generation %" PRIu64 " boot %s clean %d end\n",
		STATE_FORMAT, s->generation, boot, clean);
	OWN_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0 || write(fd, text, (size_t)n) != n || fsync(fd) || rename(fresh, path)) {
		return err_errno("write %s", path);
	}
	return stores_sync_directory(s->directory);
}

static int environments_open(struct stores *s)
{
	char state[PATH_MAX], naming[PATH_MAX];
	struct db_options options = { .directory = state,
		.tables = STATE_TABLES_COUNT,
		.table_names = state_table_names,
		.mode = DB_WRITE,
		.share = "catalogd/state" };
	int r;

	stores_path(s, state, "state.%" PRIu64, s->generation);
	stores_path(s, naming, "naming.%" PRIu64, s->generation);
	if ((mkdir(state, 0750) && errno != EEXIST) || (mkdir(naming, 0750) && errno != EEXIST)) {
		return err_errno("mkdir %s", state);
	}
	r = db_open(&options, &s->state);
	if (r) {
		return r;
	}
	options.directory = naming;
	options.tables = NAMING_TABLES_COUNT;
	options.table_names = naming_table_names;
	options.share = "catalogd/naming";
	r = db_open(&options, &s->naming);
	if (r) {
		db_free(take(s->state));
	}
	return r;
}

static void environments_close(struct stores *s)
{
	if (s->state) {
		db_free(take(s->state));
	}
	if (s->naming) {
		db_free(take(s->naming));
	}
}

/* Whose format is ours, or an empty one. */
static bool format_known(struct stores *s)
{
	struct kv_txn *t = db_read(s->state);
	struct str value;
	uint32_t format = STATE_FORMAT;

	if (!t) {
		return false;
	}
	if (kv_get(t, STATE_META, STR("format"), &value) && value.n == sizeof(format)) {
		memcpy(&format, value.p, sizeof(format));
	}
	kv_abort(t);
	return format == STATE_FORMAT;
}

/* ---- snapshots: <index>-<term> ---- */

struct snapshot_name {
	uint64_t index, term;
};

static int newer_first(const void *a, const void *b)
{
	const struct snapshot_name *x = a, *y = b;

	return x->index < y->index ? 1 : x->index > y->index ? -1 : 0;
}

static size_t snapshots_list(const struct stores *s, struct snapshot_name *out, size_t max)
{
	char path[PATH_MAX];
	struct dirent *e;
	size_t count = 0;
	DIR *d;

	stores_path(s, path, "snapshots");
	d = opendir(path);
	while (d && (e = readdir(d)) && count < max) {
		struct snapshot_name *name = &out[count];
		char end;

		if (sscanf(e->d_name, "%" SCNu64 "-%" SCNu64 "%c", &name->index, &name->term,
			    &end) == 2) {
			count++;
		}
	}
	if (d) {
		closedir(d);
	}
	qsort(out, count, sizeof(out[0]), newer_first);
	return count;
}

enum { SNAPSHOTS_LISTED_MAX = 64 };

uint64_t stores_snapshot_newest(const struct stores *s)
{
	struct snapshot_name names[SNAPSHOTS_LISTED_MAX];

	return snapshots_list(s, names, ARRAY_SIZE(names)) ? names[0].index : 0;
}

bool stores_snapshot_find(const struct stores *s, uint64_t *index, uint64_t *term_out)
{
	struct snapshot_name names[SNAPSHOTS_LISTED_MAX];
	size_t count = snapshots_list(s, names, ARRAY_SIZE(names));

	for (size_t i = 0; i < count; i++) {
		if (!*index || names[i].index == *index) {
			*index = names[i].index;
			*term_out = names[i].term;
			return true;
		}
	}
	return false;
}

void stores_snapshots_prune(const struct stores *s, size_t keep)
{
	struct snapshot_name names[SNAPSHOTS_LISTED_MAX];
	size_t count = snapshots_list(s, names, ARRAY_SIZE(names));
	char path[PATH_MAX];

	for (size_t i = keep; i < count; i++) {
		stores_path(
			s, path, "snapshots/%" PRIu64 "-%" PRIu64, names[i].index, names[i].term);
		stores_remove(path);
	}
}

static int file_copy(const char *from, const char *to)
{
	OWN_FD int in = open(from, O_RDONLY | O_CLOEXEC);
	OWN_FD int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	ssize_t n;

	if (in < 0 || out < 0) {
		return err_errno("copy %s", from);
	}
	do {
		n = copy_file_range(in, NULL, out, NULL, 1 << 30, 0);
	} while (n > 0);
	return n < 0 ? err_errno("copy %s", from) : 0;
}

/* Puts the snapshot's file where the new generation's state will be. */
static int snapshot_place(const struct stores *s, const struct snapshot_name *name)
{
	char from[PATH_MAX], to[PATH_MAX];

	stores_path(s, from, "snapshots/%" PRIu64 "-%" PRIu64 "/data.mdb", name->index, name->term);
	stores_path(s, to, "state.%" PRIu64, s->generation);
	stores_remove(to);
	if (mkdir(to, 0750)) {
		return err_errno("mkdir %s", to);
	}
	stores_path(s, to, "state.%" PRIu64 "/data.mdb", s->generation);
	return file_copy(from, to);
}

static bool snapshot_open(struct stores *s, const struct snapshot_name *name)
{
	char path[PATH_MAX];
	struct kv_txn *t;
	uint64_t index;
	int r;

	stores_path(s, path, "snapshots/%" PRIu64 "-%" PRIu64, name->index, name->term);
	r = sums_check(path, name->index, name->term);
	if (!r || r == ST_NOT_FOUND) { /* of an earlier version: without sums */
		r = snapshot_place(s, name);
	}
	if (!r) {
		r = environments_open(s);
	}
	if (r) {
		log_error("snapshot-unusable", "index=%" PRIu64 " error=%s", name->index,
			r < 0 ? err_text() : status_name(r));
		return false;
	}
	t = db_begin(s->state);
	index = catalog_applied(t, NULL);
	kv_abort(t);
	if (index != name->index || !format_known(s)) {
		log_error(
			"snapshot-unusable", "index=%" PRIu64 " error=wrong-content", name->index);
		environments_close(s);
		return false;
	}
	log_notice(
		"snapshot-loaded", "index=%" PRIu64 " generation=%" PRIu64, index, s->generation);
	return true;
}

/* Everything but the current generation and its mark. */
static void generations_remove_others(const struct stores *s)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(s->directory);

	while (d && (e = readdir(d))) {
		uint64_t generation;
		char end;

		if ((sscanf(e->d_name, "state.%" SCNu64 "%c", &generation, &end) == 1 ||
			    sscanf(e->d_name, "naming.%" SCNu64 "%c", &generation, &end) == 1) &&
			generation != s->generation) {
			stores_path(s, path, "%s", e->d_name);
			stores_remove(path);
		}
	}
	if (d) {
		closedir(d);
	}
}

static void generation_clear(const struct stores *s)
{
	char path[PATH_MAX];

	stores_path(s, path, "state.%" PRIu64, s->generation);
	stores_remove(path);
	stores_path(s, path, "naming.%" PRIu64, s->generation);
	stores_remove(path);
}

int stores_renew(struct stores *s)
{
	struct snapshot_name names[SNAPSHOTS_LISTED_MAX];
	size_t count = snapshots_list(s, names, ARRAY_SIZE(names));
	int r = 0;

	environments_close(s);
	s->generation++;
	generation_clear(s);
	for (size_t i = 0; i < count && !s->state; i++) {
		snapshot_open(s, &names[i]);
	}
	if (!s->state) {
		generation_clear(s);
		r = environments_open(s);
	}
	if (!r) {
		r = mark_write(s, false);
	}
	if (!r) {
		generations_remove_others(s);
	}
	return r > 0 ? err_new(-EIO, "open a new state: %s", status_name(r)) : r;
}

static bool mark_trusted(const struct mark *m)
{
	char boot[UUID_TEXT_SIZE + 1];

	return m->format == STATE_FORMAT && !boot_id_read(boot) &&
	       (m->clean || strcmp(boot, m->boot) == 0);
}

/* Copies of the environment that were being made when the process ended. */
static void unfinished_remove(const struct stores *s)
{
	static const char *const names[] = { "snapshots/new", "snapshots/saving" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		stores_path(s, path, "%s", names[i]);
		stores_remove(path);
	}
}

int stores_open(struct stores *s, const char *data_dir)
{
	struct mark mark = { .generation = 0 };
	char path[PATH_MAX];
	int r;

	if (snprintf(s->directory, sizeof(s->directory), "%s/catalogd", data_dir) >=
		PATH_MAX - 100) {
		return err_new(-ENAMETOOLONG, "data_dir");
	}
	stores_path(s, path, "snapshots");
	if ((mkdir(s->directory, 0750) && errno != EEXIST) ||
		(mkdir(path, 0750) && errno != EEXIST)) {
		return err_errno("mkdir %s", path);
	}
	unfinished_remove(s);
	if (mark_read(s, &mark)) {
		s->generation = mark.generation;
		if (mark_trusted(&mark)) {
			r = environments_open(s);
			if (!r && format_known(s)) {
				return mark_write(s, false);
			}
			log_error("state-unusable", "generation=%" PRIu64 " error=%s",
				s->generation, r < 0 ? err_text() : status_name(r));
		} else {
			log_notice("state-untrusted", "generation=%" PRIu64, s->generation);
		}
	}
	return stores_renew(s);
}

void stores_close(struct stores *s, bool clean)
{
	bool synced = clean && s->state && !db_sync(s->state) && !db_sync(s->naming);

	environments_close(s);
	if (synced && mark_write(s, true)) {
		log_warning("mark-not-written", "error=%s", err_text());
	}
}
