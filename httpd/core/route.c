/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Route lookup: the exact path, else the deepest subtree, by binary search.
 */
#include "httpd/core/route.h"

/* The deepest subtree path of the table; deeper slashes of a request need not be looked at. */
enum { SLASHES_MAX = 8 };

/* The rows of one path. */
struct route_group {
	struct str path;
	uint32_t first, count;
};

static int group_order(const void *a, const void *b)
{
	return str_cmp(
		((const struct route_group *)a)->path, ((const struct route_group *)b)->path);
}

void route_table_init(struct route_table *t, const struct route *rows, size_t rows_count)
{
	*t = (struct route_table) { .rows = rows, .rows_count = (uint32_t)rows_count };
	t->groups = xcalloc(rows_count, sizeof(*t->groups));
	for (uint32_t i = 0; i < t->rows_count; i++) {
		struct route_group *last = t->groups + t->groups_count - 1;

		if (t->groups_count && str_eq(last->path, rows[i].path)) {
			last->count++;
		} else {
			t->groups[t->groups_count++] = (struct route_group) { rows[i].path, i, 1 };
		}
	}
	qsort(t->groups, t->groups_count, sizeof(*t->groups), group_order);
	for (uint32_t i = 1; i < t->groups_count; i++) {
		must(!str_eq(t->groups[i - 1].path,
			t->groups[i].path)); /* rows of a path stand together */
	}
}

void route_table_fini(struct route_table *t)
{
	free(t->groups);
	*t = (struct route_table) { 0 };
}

static const struct route_group *find_group(const struct route_table *t, struct str path)
{
	struct route_group wanted = { .path = path };

	return bsearch(&wanted, t->groups, t->groups_count, sizeof(wanted), group_order);
}

static struct route_match match_of(
	const struct route_table *t, const struct route_group *g, struct str path)
{
	return (struct route_match) {
		.rows = t->rows + g->first,
		.rows_count = g->count,
		.name = str_skip(path, g->path.n),
	};
}

static bool is_subtree_without_slash(const struct route_table *t, struct str path)
{
	char with_slash[128];

	if (path.n + 1 > sizeof(with_slash)) {
		return false;
	}
	memcpy(with_slash, path.p, path.n);
	with_slash[path.n] = '/';
	return find_group(t, str_n(with_slash, path.n + 1));
}

struct route_match route_find(const struct route_table *t, struct str path)
{
	const struct route_group *g = find_group(t, path);
	size_t ends[SLASHES_MAX], count = 0;

	if (g) {
		return match_of(t, g, path);
	}
	if (is_subtree_without_slash(t, path)) {
		return (struct route_match) { .add_slash = true };
	}
	for (size_t i = 0; i < path.n && count < SLASHES_MAX; i++) {
		if (path.p[i] == '/') {
			ends[count++] = i + 1;
		}
	}
	while (count--) {
		g = find_group(t, str_cut(path, ends[count]));
		if (g) {
			return match_of(t, g, path);
		}
	}
	return (struct route_match) { 0 };
}

void route_render_allow(const struct route_match *m, struct buf *out)
{
	buf_put_lit(out, "OPTIONS");
	for (enum method method = 0; method < METHODS_ROUTED; method++) {
		for (uint32_t i = 0; i < m->rows_count; i++) {
			if (m->rows[i].method == method) {
				buf_put_char(out, ',');
				buf_put_cstr(out, method_name(method));
			}
		}
	}
}
