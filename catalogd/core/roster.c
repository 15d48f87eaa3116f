/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consul's rules about which members are its own, and the comparison of two tables.
 */
#include "catalogd/core/roster.h"

static struct str tag(const struct member *m, const char *name)
{
	struct str v = pairs_find(&m->tags, str_of(name));

	return v.p ? v : STR("");
}

static struct str lower(struct arena *arena, struct str s)
{
	struct str copy = arena_str(arena, s);

	str_lower_into(s, (char *)copy.p);
	return copy;
}

static int key_compare(const void *a, const void *b)
{
	const struct roster_row *x = a, *y = b;

	return str_cmp(x->key, y->key);
}

static int id_compare(const void *a, const void *b)
{
	const struct roster_row *x = *(struct roster_row *const *)a,
				*y = *(struct roster_row *const *)b;
	int order = str_cmp(x->id, y->id);

	return order ? order : str_cmp(x->key, y->key);
}

static bool member_same(const struct member *a, const struct member *b)
{
	bool same = a->status == b->status && a->port == b->port && str_eq(a->addr, b->addr) &&
		    str_eq(a->name, b->name) && a->tags.count == b->tags.count &&
		    a->protocol_min == b->protocol_min && a->protocol_max == b->protocol_max &&
		    a->protocol_cur == b->protocol_cur;

	for (uint32_t i = 0; same && i < a->tags.count; i++) {
		same = str_eq(a->tags.items[i].key, b->tags.items[i].key) &&
		       str_eq(a->tags.items[i].value, b->tags.items[i].value);
	}
	return same;
}

/* "shouldHandleMember": nodes and servers of the own data centre. */
static struct roster_row row_of(const struct member *m, struct str datacenter, struct arena *arena)
{
	struct str role = tag(m, "role");
	bool server = str_is(role, "consul");

	return (struct roster_row) {
		.m = m,
		.key = lower(arena, m->name),
		.id = lower(arena, tag(m, "id")),
		.server = server,
		.handled = (server || str_is(role, "node")) && str_eq(tag(m, "dc"), datacenter),
		.due = true,
	};
}

static void twins_mark(struct roster *r)
{
	struct roster_row **by_id = arena_array(&r->arena, struct roster_row *, r->count + 1);
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		struct roster_row *row = &r->rows[i];

		if (row->handled && row->id.n && row->m->status == ROSTER_ALIVE) {
			by_id[count++] = row;
		}
	}
	if (count < 2) {
		return;
	}
	qsort(by_id, count, sizeof(struct roster_row *), id_compare);
	for (uint32_t i = 0; i < count; i++) {
		bool before = i > 0 && str_eq(by_id[i - 1]->id, by_id[i]->id);
		bool behind = i + 1 < count && str_eq(by_id[i + 1]->id, by_id[i]->id);

		by_id[i]->twin = before || behind;
		by_id[i]->first = behind && !before;
	}
}

static bool is_same_life(const struct roster *r, const struct roster *before)
{
	return r->members.version >> 32 == before->members.version >> 32;
}

static void compare(struct roster *r, const struct roster *before)
{
	bool told = is_same_life(r, before);

	r->gone.items = arena_array(&r->arena, struct str, before->count + 1);
	for (uint32_t i = 0; i < before->count; i++) {
		const struct roster_row *old = &before->rows[i];
		struct roster_row *now = roster_find(r, old->key);

		if (now) {
			now->due =
				old->due || now->twin != old->twin || !member_same(old->m, now->m);
			now->trouble = arena_str(&r->arena, old->trouble);
		} else if (told && old->handled &&
			   (old->m->status == ROSTER_FAILED || old->m->status == ROSTER_LEFT)) {
			r->gone.items[r->gone.count++] = arena_str(&r->arena, old->key);
		}
	}
}

int roster_make(
	struct roster *r, struct str members, struct str datacenter, const struct roster *before)
{
	int status;

	*r = (struct roster) { .count = 0 };
	status = members_reply_decode(arena_str(&r->arena, members), &r->arena, &r->members);
	if (status) {
		return status;
	}
	r->rows = arena_array(&r->arena, struct roster_row, r->members.members.count + 1);
	for (uint32_t i = 0; i < r->members.members.count; i++) {
		r->rows[r->count++] = row_of(&r->members.members.items[i], datacenter, &r->arena);
	}
	qsort(r->rows, r->count, sizeof(*r->rows), key_compare);
	twins_mark(r);
	compare(r, before);
	return 0;
}

void roster_fini(struct roster *r)
{
	arena_fini(&r->arena);
	*r = (struct roster) { .count = 0 };
}

struct roster_row *roster_find(const struct roster *r, struct str key)
{
	struct roster_row wanted = { .key = key };

	return r->count ? bsearch(&wanted, r->rows, r->count, sizeof(wanted), key_compare) : NULL;
}
