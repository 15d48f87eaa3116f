/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every daemon may touch, and what its own row adds, as the jail wants it.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/sys/daemon_private.h"

enum { PATHS_MAX = 2 * DAEMON_SOURCES_MAX + 40 }; /* a source and its folder, and all others */

struct jail_paths {
	struct arena *arena;
	struct sandbox_path items[PATHS_MAX];
	size_t count;
};

/* The system's own: libraries that are loaded late, names, certificates, time zones, resolvers,
 * what the kernel tells about us. */
static const struct sandbox_path common_paths[] = {
	{ "/etc", SANDBOX_READ },
	{ "/usr", SANDBOX_READ },
	{ "/lib", SANDBOX_READ },
	{ "/lib64", SANDBOX_READ },
	{ "/proc", SANDBOX_READ },
	{ "/sys/devices/system/cpu", SANDBOX_READ },
	{ "/run/systemd/resolve", SANDBOX_READ },
	{ "/run/resolvconf", SANDBOX_READ },
	{ "/dev/null", SANDBOX_MAP },
	{ "/dev/random", SANDBOX_READ },
	{ "/dev/urandom", SANDBOX_READ },
};

static void add(struct jail_paths *p, struct str path, enum sandbox_right right)
{
	must(p->count < PATHS_MAX);
	if (path.n) {
		p->items[p->count++] = (struct sandbox_path) { arena_str(p->arena, path).p, right };
	}
}

/* A file by its folder: it may be replaced by another one of its name. */
static void file_add(struct jail_paths *p, struct str path)
{
	ssize_t slash = str_rfind(path, '/');

	add(p, slash > 0 ? str_cut(path, (size_t)slash) : path, SANDBOX_READ);
}

static void own_add(struct jail_paths *p, const struct daemon *d)
{
	for (size_t i = 0; i < d->spec->paths_count; i++) {
		const struct daemon_path *row = &d->spec->paths[i];
		struct str path = row->base == DAEMON_RUN
					  ? str_of(row->path)
					  : arena_printf(p->arena, STR_FMT "/%s",
						    STR_ARG(d->conf->data_dir), row->path);

		/* Of several daemons the first makes it; where each has a user of its own they are
		 * there already, and this is refused. */
		(void)mkdir(path.p, 0750);
		add(p, path, row->right);
	}
}

void daemon_confine_files(struct daemon *d)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct jail_paths *p = arena_new(&arena, struct jail_paths);
	const struct conf *c = d->conf;
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");

	p->arena = &arena;
	for (size_t i = 0; i < ARRAY_SIZE(common_paths); i++) {
		add(p, str_of(common_paths[i].path), common_paths[i].right);
	}
	for (size_t i = 0; i < d->private->sources_count; i++) {
		const struct conf_source *source = &d->private->sources[i];

		add(p, str_of(source->path), SANDBOX_READ);
		if (!source->directory) {
			file_add(p, str_of(source->path));
		}
	}
	if (d->spec->reads_tls) {
		add(p, c->ca_path, SANDBOX_READ);
		file_add(p, c->ca_file);
		file_add(p, c->cert_file);
		file_add(p, c->key_file);
	}
	add(p, str_of(credentials ? credentials : ""), SANDBOX_READ);
	add(p, arena_printf(&arena, STR_FMT "/node-id", STR_ARG(c->data_dir)), SANDBOX_READ);
	add(p, str_of(d->spec->name), SANDBOX_WRITE);
	own_add(p, d);
	d->private->files_confined = sandbox_files(p->items, p->count);
}

void daemon_confine_calls(struct daemon *d)
{
	d->private->calls_confined = sandbox_calls(d->spec->needs);
}
