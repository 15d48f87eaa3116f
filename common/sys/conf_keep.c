/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reload leaves as it was. The rows of conf_keys.c say which keys a reload may change; of
 * all others the running values stay, since only a part of the node could follow: ports are open,
 * names are known elsewhere.
 */
#include "common/sys/conf_private.h"

#include "common/base/json.h"

struct keep {
	struct jsonw w;	  /* the mixture */
	struct buf *kept; /* names of what differs */
};

/* Keys without a meaning change nothing; they are shown as they are written. */
static bool row_is_fixed(const struct conf_key *row)
{
	return row && !row->reloadable && row->offset != KEY_UNUSED;
}

static bool row_is_nest(const struct conf_key *row)
{
	return row && row->type == KEY_OBJECT && row->inner;
}

static bool values_equal(const struct json *a, const struct json *b)
{
	OWN_EMBEDDED(buf_fini) struct buf one = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf two = { 0 };

	if (!a || !b) {
		return a == b;
	}
	json_render(&one, a);
	json_render(&two, b);
	return str_eq(buf_str(&one), buf_str(&two));
}

static void name_put(struct keep *k, struct str path, struct str key)
{
	if (k->kept->n) {
		buf_put_lit(k->kept, ", ");
	}
	buf_printf(k->kept, STR_FMT STR_FMT, STR_ARG(path), STR_ARG(key));
}

static void value_put(struct keep *k, const struct json *member)
{
	OWN_EMBEDDED(buf_fini) struct buf value = { 0 };

	json_render(&value, member);
	jsonw_key(&k->w, member->key);
	jsonw_raw(&k->w, buf_str(&value));
}

static const struct json *member_find(const struct json *object, struct str key)
{
	const struct json *member;

	if (object) {
		json_for_each (member, object) {
			if (str_eq(member->key, key)) {
				return member;
			}
		}
	}
	return NULL;
}

/* The schemas nest two deep; either side may be missing. */
static void object_put(struct keep *k, const struct conf_schema *schema, struct str path,
	const struct json *running, const struct json *fresh)
{
	static const struct json nothing = { .type = JSON_OBJECT };

	jsonw_open(&k->w, '{');
	for (size_t i = 0; i < schema->keys_count; i++) {
		const struct conf_key *row = &schema->keys[i];
		struct str name = str_of(row->name);
		const struct json *old = member_find(running, name);
		const struct json *new = member_find(fresh, name);

		if (row_is_nest(row) && (old || new)) {
			OWN_EMBEDDED(buf_fini) struct buf inner = { 0 };

			buf_printf(&inner, STR_FMT STR_FMT ".", STR_ARG(path), STR_ARG(name));
			jsonw_key(&k->w, name);
			object_put(k, row->inner, buf_str(&inner), old ? old : &nothing,
				new ? new : &nothing);
			continue;
		}
		if (row_is_fixed(row) && !values_equal(old, new)) {
			name_put(k, path, name);
		}
		new = row_is_fixed(row) ? old : new;
		if (new) {
			value_put(k, new);
		}
	}
	jsonw_close(&k->w, '}');
}

int conf_keep(const struct conf *running, struct conf **fresh, struct buf *kept, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	struct keep k = { .w = jsonw_of(&text), .kept = kept };
	struct conf_source source = { .path = "the reload" };
	struct conf *mixed;
	int r;

	object_put(&k, &conf_schema, STR(""), running->merged, (*fresh)->merged);
	if (kept->n == 0) {
		return 0;
	}
	source.text = buf_cstr(&text);
	r = running->offline ? conf_load_offline(&source, 1, &mixed, NULL, why)
			     : conf_load(&source, 1, &mixed, NULL, why);
	if (r == 0) {
		conf_free(*fresh);
		*fresh = mixed;
	}
	return r;
}
