/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading takes lines as they come: of a member the last, of clocks, which only grow, the largest
 * (the last line may have been cut short by a crash).
 */
#include "gossipd/core/snapshot.h"

#include "common/base/err.h"

struct member_entry {
	struct map_node entry;
	struct snapshot_member member;
};

static void member_put(struct map *alive, struct arena *arena, struct str rest, bool is_alive)
{
	ssize_t space = str_rfind(rest, ' ');
	struct str name = is_alive && space >= 0 ? str_cut(rest, (size_t)space) : rest;
	struct member_entry *m = map_find(alive, name, struct member_entry, entry);

	if (is_alive && space <= 0) {
		return;
	}
	if (!is_alive) {
		if (m) {
			map_del(alive, &m->entry);
		}
		return;
	}
	if (!m) {
		m = arena_new(arena, struct member_entry);
		map_add(alive, &m->entry, name);
	}
	m->member = (struct snapshot_member) { name, str_skip(rest, (size_t)space + 1) };
}

static bool number_line(struct str line, const char *prefix, uint64_t max, uint64_t *out)
{
	uint64_t v;

	if (!str_starts(line, str_of(prefix))) {
		return false;
	}
	if (str_to_u64(str_skip(line, strlen(prefix)), &v) == 0 && v <= max) {
		*out = max_of(*out, v);
	}
	return true;
}

static void take_line(struct str line, struct map *alive, struct arena *arena, struct snapshot *out)
{
	uint64_t incarnation = out->incarnation;

	if (str_starts(line, STR("alive: "))) {
		out->left = false;
		member_put(alive, arena, str_skip(line, 7), true);
	} else if (str_starts(line, STR("not-alive: "))) {
		member_put(alive, arena, str_skip(line, 11), false);
	} else if (str_is(line, "leave")) {
		out->left = true;
	} else if (number_line(line, "#incarnation: ", UINT32_MAX - 1, &incarnation)) {
		out->incarnation = (uint32_t)incarnation;
	} else {
		(void)(number_line(line, "clock: ", UINT64_MAX - 1, &out->clocks.member) ||
			number_line(line, "event-clock: ", UINT64_MAX - 1, &out->clocks.event) ||
			number_line(line, "query-clock: ", UINT64_MAX - 1, &out->clocks.query));
	}
}

void snapshot_parse(struct str text, struct arena *arena, struct snapshot *out)
{
	struct member_entry *m, *next;
	struct map alive;

	*out = (struct snapshot) { .left = false };
	map_init(&alive, 0);
	while (text.n) {
		struct str line = str_split(text, '\n', &text);

		take_line(line, &alive, arena, out);
	}
	out->members = arena_array(arena, struct snapshot_member, alive.count + 1);
	map_for_each(m, next, &alive, entry)
	{
		out->members[out->members_count++] = m->member;
	}
	map_fini(&alive);
}

void snapshot_render(const struct pool *p, struct buf *out)
{
	struct pool_node *n, *next;
	uint32_t count = 0;

	pool_for_each(n, next, p)
	{
		bool v6 = n->address.n == 16;

		if (n->status != MEMBER_ALIVE || str_find(n->name, '\n') >= 0 ||
			count++ >= SNAPSHOT_MEMBERS_MAX) {
			continue;
		}
		buf_printf(out, "alive: " STR_FMT " %s", STR_ARG(n->name), v6 ? "[" : "");
		pool_address_render(&n->address, out);
		buf_printf(out, "%s:%u\n", v6 ? "]" : "", n->address.port);
	}
	snapshot_render_clocks(p, out);
	if (p->leave) {
		buf_put_lit(out, "leave\n");
	}
}

void snapshot_render_clocks(const struct pool *p, struct buf *out)
{
	buf_printf(out, "clock: %llu\nevent-clock: %llu\nquery-clock: %llu\n#incarnation: %u\n",
		(unsigned long long)p->clocks.member - 1, (unsigned long long)p->clocks.event - 1,
		(unsigned long long)p->clocks.query - 1, p->incarnation);
}
