/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a configuration (the way it takes is told in conf_private.h), and the node's identity.
 */
#include "common/sys/conf_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/clock.h"

static int load(struct conf_builder *b, const struct conf_source *sources, size_t count,
	struct conf **out, struct buf *why)
{
	OWN(conf_free) struct conf *c = xcalloc(1, sizeof(*c));
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	int r;

	c->offline = b->offline;
	b->c = c;
	b->why = &reason;
	r = conf_sources_merge(b, sources, count);
	if (r == 0) {
		conf_tree_bind(c, &conf_schema, b->merged);
		c->merged = b->merged;
		r = conf_check(b);
	}
	if (r) {
		if (why) {
			buf_put_str(why, buf_str(&reason));
		}
		return r;
	}
	*out = take(c);
	return 0;
}

int conf_load(const struct conf_source *sources, size_t count, struct conf **out,
	struct buf *warnings, struct buf *why)
{
	struct conf_builder b = { .warnings = warnings };

	return load(&b, sources, count, out, why);
}

int conf_load_offline(const struct conf_source *sources, size_t count, struct conf **out,
	struct buf *warnings, struct buf *why)
{
	struct conf_builder b = { .warnings = warnings, .offline = true };

	return load(&b, sources, count, out, why);
}

void conf_free(struct conf *c)
{
	if (c) {
		arena_fini(&c->arena);
		free(c);
	}
}

static int node_id_read(const char *path, struct uuid *out)
{
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[UUID_TEXT_SIZE + 2];
	ssize_t n;

	if (fd < 0) {
		return errno == ENOENT ? ST_NOT_FOUND : err_errno("open %s", path);
	}
	n = read(fd, text, sizeof(text));
	if (n < 0) {
		return err_errno("read %s", path);
	}
	if (uuid_parse(str_trim(str_n(text, (size_t)n)), out)) {
		return err_new(-EINVAL, "%s does not hold a UUID", path);
	}
	return 0;
}

/* The file appears whole or not at all: link(2) lets only the first of several daemons succeed. */
static int node_id_make(const char *path)
{
	OWN_EMBEDDED(buf_fini) struct buf temp = { 0 }, text = { 0 };
	struct uuid id = random_uuid();
	OWN_FD int fd = -1;
	int r = 0;

	uuid_render(&text, &id);
	buf_printf(&temp, "%s.%d", path, (int)getpid());
	fd = open(buf_cstr(&temp), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		return err_errno("create %s", buf_cstr(&temp));
	}
	if (write(fd, text.p, text.n) != (ssize_t)text.n || fsync(fd)) {
		r = err_errno("write %s", buf_cstr(&temp));
	} else if (link(buf_cstr(&temp), path) && errno != EEXIST) {
		r = err_errno("link %s", path);
	}
	unlink(buf_cstr(&temp));
	return r;
}

int conf_node_id(const struct conf *c, struct uuid *out)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	int r;

	if (c->node_id.n) {
		return uuid_parse(c->node_id, out)
			       ? err_new(-EINVAL, "node_id \"" STR_FMT "\" is not a UUID",
					 STR_ARG(c->node_id))
			       : 0;
	}
	buf_printf(&path, STR_FMT "/node-id", STR_ARG(c->data_dir));
	r = node_id_read(buf_cstr(&path), out);
	if (r != ST_NOT_FOUND) {
		return r;
	}
	r = node_id_make(buf_cstr(&path));
	return r ? r : node_id_read(buf_cstr(&path), out);
}
