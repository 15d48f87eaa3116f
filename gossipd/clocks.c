/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Lamport clocks in a small JSON file, replaced as a whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "gossipd/gossipd.h"

enum { FILE_MAX = 256 };

static int number_of(const struct json *object, const char *key, uint64_t *out)
{
	const struct json *v = json_find(object, key);

	return v && v->type == JSON_NUMBER ? str_to_u64(v->text, out) : ST_CORRUPT;
}

int clocks_load(const char *path, struct gossip_clocks *out)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[FILE_MAX];
	struct json *tree;
	ssize_t n;

	*out = (struct gossip_clocks) { 0 };
	if (fd < 0) {
		return errno == ENOENT ? 0 : err_errno("open %s", path);
	}
	n = read(fd, text, sizeof(text));
	if (n < 0) {
		return err_errno("read %s", path);
	}
	if (json_parse(&arena, str_n(text, (size_t)n), &tree, NULL) ||
		number_of(tree, "member_time", &out->member_time) ||
		number_of(tree, "event_time", &out->event_time)) {
		return ST_CORRUPT;
	}
	return 0;
}

int clocks_store(const char *path, const struct gossip_clocks *c)
{
	char fresh[CLOCKS_PATH_SIZE + 8], text[FILE_MAX];
	OWN_FD int fd = -1;
	int n = snprintf(text, sizeof(text), "{\"member_time\":%llu,\"event_time\":%llu}\n",
		(unsigned long long)c->member_time, (unsigned long long)c->event_time);

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0 || write(fd, text, (size_t)n) != n || fdatasync(fd) < 0 ||
		rename(fresh, path) < 0) {
		return err_errno("write %s", path);
	}
	return 0;
}
