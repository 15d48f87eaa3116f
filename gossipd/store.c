/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a pool in <data_dir>/gossipd: the snapshot (what to rejoin, clocks) and the keyring,
 * which nobody else may read. Both are replaced as a whole; clocks are appended in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gossipd/gossipd.h"

enum { APPEND_MAX = 128 << 10 }; /* to a snapshot; then it is written as a whole */

int store_paths(struct wire *w)
{
	struct str dir = w->gossipd->daemon->conf->data_dir;
	const char *name = w->name == GOSSIP_WAN ? "remote" : "local";

	snprintf(w->snapshot_path, sizeof(w->snapshot_path), STR_FMT "/gossipd", STR_ARG(dir));
	if (mkdir(w->snapshot_path, 0750) < 0 && errno != EEXIST) {
		return err_errno("make %s", w->snapshot_path);
	}
	snprintf(w->snapshot_path, sizeof(w->snapshot_path), STR_FMT "/gossipd/%s.snapshot",
		STR_ARG(dir), name);
	snprintf(w->keyring_path, sizeof(w->keyring_path), STR_FMT "/gossipd/%s.keyring",
		STR_ARG(dir), name);
	return 0;
}

/* 0; ST_NOT_FOUND, ST_TOO_LARGE, -errno */
static int file_read(const char *path, struct buf *out)
{
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0) {
		return errno == ENOENT ? ST_NOT_FOUND : err_errno("open %s", path);
	}
	do {
		n = read(fd, buf_reserve(out, 65536), 65536);
		if (n < 0) {
			return err_errno("read %s", path);
		}
		out->n += (size_t)n;
	} while (n > 0 && out->n <= SNAPSHOT_SIZE_MAX);
	return out->n > SNAPSHOT_SIZE_MAX ? ST_TOO_LARGE : 0;
}

static int file_write(const char *path, struct str text, mode_t mode, bool sync)
{
	char fresh[WIRE_PATH_SIZE + 8];
	OWN_FD int fd = -1;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	unlink(fresh); /* whatever its mode was */
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0) {
		return err_errno("write %s", path);
	}
	for (size_t at = 0; at < text.n;) {
		ssize_t n = write(fd, text.p + at, text.n - at);

		if (n < 0) {
			return err_errno("write %s", path);
		}
		at += (size_t)n;
	}
	if ((sync && fdatasync(fd) < 0) || rename(fresh, path) < 0) {
		return err_errno("write %s", path);
	}
	return 0;
}

/* -------- snapshot -------- */

static bool has_left(const struct wire *w, const struct snapshot *s)
{
	return s->left && !w->gossipd->daemon->conf->rejoin_after_leave;
}

void store_snapshot_load(struct wire *w, struct arena *arena, struct snapshot *out)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	int r = file_read(w->snapshot_path, &text);

	*out = (struct snapshot) { .left = false };
	if (r && r != ST_NOT_FOUND) {
		log_warning("snapshot-unreadable", "path=\"%s\" action=\"clocks start again\"",
			w->snapshot_path);
	} else {
		snapshot_parse(arena_str(arena, buf_str(&text)), arena, out);
	}
	for (uint32_t i = 0; i < out->members_count && !has_left(w, out); i++) {
		buf_printf(&w->former, "alive: " STR_FMT " " STR_FMT "\n",
			STR_ARG(out->members[i].name), STR_ARG(out->members[i].address));
	}
}

static int snapshot_append(struct wire *w)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	OWN_FD int fd = open(w->snapshot_path, O_WRONLY | O_APPEND | O_CLOEXEC);

	snapshot_render_clocks(&w->pool, &text);
	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n) {
		return err_errno("append to %s", w->snapshot_path);
	}
	w->snapshot_appended += text.n;
	return 0;
}

static int snapshot_write(struct wire *w)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	bool alone = pool_count(&w->pool, MEMBER_ALIVE) <= 1;
	int r;

	if (!alone || w->pool.leave) {
		buf_fini(&w->former);
	}
	buf_put_str(&text, buf_str(&w->former));
	snapshot_render(&w->pool, &text);
	r = file_write(w->snapshot_path, buf_str(&text), 0640, false);
	w->snapshot_stale = r != 0;
	w->snapshot_names |= !alone;
	w->snapshot_appended = 0;
	return r;
}

/* A crash of the machine may lose the last of it: then the pool tells the clocks again. */
void store_snapshot(struct wire *w)
{
	bool append = !w->snapshot_stale && w->snapshot_appended < APPEND_MAX;

	loop_timer_stop(&w->store_timer);
	if ((!append || snapshot_append(w)) && snapshot_write(w)) {
		log_error("snapshot", "error=\"%s\"", err_text());
	}
}

/* -------- keyring -------- */

/* The file wins over the configuration: keys may have been changed since. So a key of the
 * configuration is stored when somebody else was met who has it (store_proven_key): a wrong one is
 * put right where it was written. */
int store_keyring_load(struct wire *w)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 }, key = { 0 }, why = { 0 };
	struct str encrypt = w->gossipd->daemon->conf->encrypt;
	int r = w->store_keyring ? file_read(w->keyring_path, &text) : ST_NOT_FOUND;

	if (r && r != ST_NOT_FOUND) {
		return r < 0 ? r : err_new(-EINVAL, "%s: too large", w->keyring_path);
	}
	if (encrypt.n && base64_parse(encrypt, &key, NULL)) {
		return err_new(-EINVAL, "encrypt is not base64");
	}
	if (r == 0 && keyring_parse(buf_str(&text), &w->pool.keyring, &why)) {
		return err_new(-EINVAL, "%s: %s", w->keyring_path, buf_cstr(&why));
	}
	if (r == 0 && key.n && !keyring_has(&w->pool.keyring, buf_str(&key))) {
		log_warning("key-unused",
			"path=\"%s\" reason=\"the file has other keys than encrypt\"",
			w->keyring_path);
	}
	if (r && key.n && keyring_install(&w->pool.keyring, buf_str(&key), &why)) {
		return err_new(-EINVAL, "encrypt has invalid key: %s", buf_cstr(&why));
	}
	w->key_unproven = r && key.n;
	return 0;
}

void store_proven_key(struct wire *w)
{
	if (w->key_unproven && pool_count(&w->pool, MEMBER_ALIVE) > 1) {
		store_keyring(w);
	}
}

void store_keyring(struct wire *w)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };

	w->key_unproven = false;
	if (!w->store_keyring) {
		return;
	}
	keyring_render(&w->pool.keyring, &text);
	if (file_write(w->keyring_path, buf_str(&text), 0600, true)) {
		log_error("keyring", "error=\"%s\"", err_text());
	}
}
