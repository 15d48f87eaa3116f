/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster kv: get, put, delete, export, import.
 */
#include <stdio.h>

#include "common/base/err.h"
#include "ctl/api.h"
#include "ctl/commands.h"

static void key_path(struct buf *path, const char *key)
{
	buf_put_lit(path, "/v1/kv/");
	path_put(path, key);
}

/* One leading slash of a key is forgiven. */
static const char *key_of(const char *word)
{
	return word[0] == '/' ? word + 1 : word;
}

static void value_decode(const struct json *pair, struct buf *out)
{
	const struct json *v = json_find(pair, "Value");

	buf_clear(out);
	if (v && v->type == JSON_STRING && base64_parse(v->text, out, NULL)) {
		buf_clear(out);
	}
}

static void value_print(const struct json *pair, bool base64)
{
	OWN_EMBEDDED(buf_fini) struct buf value = { 0 };

	if (base64) {
		buf_put_cstr(&value, field_text(pair, "Value"));
	} else {
		value_decode(pair, &value);
	}
	buf_put_char(&value, '\n');
	fwrite(value.p, 1, value.n, stdout);
}

static void detailed_print(const struct json *pair, bool base64)
{
	static const char *const before[] = { "CreateIndex", "Flags", "Key", "LockIndex",
		"ModifyIndex" };
	const char *session = field_text(pair, "Session");

	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		printf("%-17s%s\n", before[i], field_text(pair, before[i]));
	}
	printf("%-17s%s\n", "Session", session[0] ? session : "-");
	if (field_text(pair, "Value")[0] == 0) {
		ctl_say("Value");
		return;
	}
	printf("%-17s", "Value");
	value_print(pair, base64);
}

/* ---- get ---- */

struct get {
	bool base64, detailed, keys, recurse;
	const char *separator;
};

static int many_get(struct api *api, const struct get *g, const char *prefix)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	const struct json *item;
	struct json *all;

	key_path(&path, prefix);
	path_mark(&path, g->keys ? "keys" : "recurse");
	if (g->keys) {
		path_query(&path, "separator", g->separator);
	}
	if (api_call(api, "GET", &path, STR_NONE, &answer)) {
		return ctl_fail("Error querying Consul agent: %s", api_error(api));
	}
	if (answer.status == 404) {
		return 0;
	}
	if (answer.status != 200) {
		return ctl_fail("Error querying Consul agent: Unexpected response code: %ld",
			answer.status);
	}
	if (json_parse(&api->arena, buf_str(&answer.body), &all, &api->error)) {
		return ctl_fail("Error querying Consul agent: %s", api_error(api));
	}
	json_for_each (item, all) {
		if (g->keys) {
			ctl_say("%s", item->text.p);
		} else if (g->detailed) {
			detailed_print(item, g->base64);
			fputs(item->next ? "\n" : "", stdout);
		} else {
			printf("%s:", field_text(item, "Key"));
			value_print(item, g->base64);
		}
	}
	return 0;
}

static int one_get(struct api *api, const struct get *g, const char *key)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	struct json *all;

	key_path(&path, key);
	if (api_call(api, "GET", &path, STR_NONE, &answer)) {
		return ctl_fail("Error querying Consul agent: %s", api_error(api));
	}
	if (answer.status == 404) {
		return ctl_fail("Error! No key exists at: %s", key);
	}
	if (answer.status != 200) {
		return ctl_fail("Error querying Consul agent: Unexpected response code: %ld",
			answer.status);
	}
	if (json_parse(&api->arena, buf_str(&answer.body), &all, &api->error) || !all->first) {
		return ctl_fail("Error querying Consul agent: %s", api_error(api));
	}
	if (g->detailed) {
		detailed_print(all->first, g->base64);
	} else {
		value_print(all->first, g->base64);
	}
	return 0;
}

int kv_get_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct get g = { .separator = "/" };
	struct flagset f = { 0 };
	int at;

	flag_add(&f, "base64", FLAG_BOOL, &g.base64, "Show values in base64.");
	flag_add(&f, "detailed", FLAG_BOOL, &g.detailed,
		"Show everything that is known about a key.");
	flag_add(&f, "keys", FLAG_BOOL, &g.keys, "List the keys below a prefix, without values.");
	flag_add(&f, "recurse", FLAG_BOOL, &g.recurse, "Show all keys below a prefix.");
	flag_add(&f, "separator", FLAG_TEXT, &g.separator,
		"With -keys: list only up to this separator.");
	at = api_begin(c, &api, &f, true, "kv get [options] [KEY_OR_PREFIX]",
		"Reads one key, or all below a prefix.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (argc - at > 1) {
		return ctl_fail("Too many arguments (expected 1, got %d)", argc - at);
	}
	if ((at == argc || !key_of(argv[at])[0]) && !g.keys && !g.recurse) {
		return ctl_fail("Error! Missing KEY argument");
	}
	if (g.keys || g.recurse) {
		return many_get(&api, &g, at < argc ? key_of(argv[at]) : "");
	}
	return one_get(&api, &g, key_of(argv[at]));
}

/* ---- put ---- */

struct put {
	bool base64, cas, acquire, release;
	uint64_t modify_index, flags;
	const char *session;
};

static int put_check(const struct put *p, const struct flagset *f, int count, const char *key)
{
	if (count == 0) {
		return ctl_fail("Error! Missing KEY argument");
	}
	if (count > 2) {
		return ctl_fail("Error! Too many arguments (expected 1 or 2, got %d)", count);
	}
	if (key[0] == 0) {
		return ctl_fail("Error! Missing KEY argument");
	}
	if (key[0] == '/') {
		return ctl_fail("Error! Failed writing data: Invalid key. Key must not begin with "
				"a '/': %s",
			key);
	}
	if (p->cas && !flag_given(f, "modify-index")) {
		return ctl_fail("Must specify -modify-index with -cas!");
	}
	if ((p->acquire || p->release) && !ctl_is_set(p->session)) {
		return ctl_fail("Error! Missing -session (required with -acquire and -release)");
	}
	return 0;
}

static int put_outcome(const struct put *p, const char *key, bool done)
{
	const char *lock = p->acquire ? "acquire" : p->release ? "release" : NULL;

	if (!done && lock) {
		return ctl_fail("Error! Did not %s lock", lock);
	}
	if (!done) {
		return ctl_fail("Error! Did not write to %s: CAS failed", key);
	}
	if (lock) {
		ctl_say("Success! Lock %sd on: %s", lock, key);
	} else {
		ctl_say("Success! Data written to: %s", key);
	}
	return 0;
}

static int put_send(struct api *api, const struct put *p, const char *key, struct str value)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

	key_path(&path, key);
	if (p->acquire) {
		path_query(&path, "acquire", p->session);
	} else if (p->release) {
		path_query(&path, "release", p->session);
	} else if (p->cas) {
		path_query_n(&path, "cas", p->modify_index);
	}
	if (p->flags) {
		path_query_n(&path, "flags", p->flags);
	}
	if (api_ask(api, "PUT", &path, value, &answer)) {
		return ctl_fail("Error! Failed writing data: %s", api_error(api));
	}
	return put_outcome(p, key, str_starts(buf_str(&answer.body), STR("true")));
}

int kv_put_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf data = { 0 }, raw = { 0 }, why = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct put p = { 0 };
	struct flagset f = { 0 };
	size_t bad_at;
	int at;

	flag_add(&f, "base64", FLAG_BOOL, &p.base64, "DATA is base64.");
	flag_add(&f, "cas", FLAG_BOOL, &p.cas,
		"Write only if the key has still this -modify-index.");
	flag_add(&f, "modify-index", FLAG_UINT, &p.modify_index,
		"Index for -cas; 0: the key must not exist.");
	flag_add(&f, "flags", FLAG_UINT, &p.flags,
		"A number of your own that is kept with the key.");
	flag_add(&f, "acquire", FLAG_BOOL, &p.acquire, "Take the key's lock for -session.");
	flag_add(&f, "release", FLAG_BOOL, &p.release, "Give the key's lock back.");
	flag_add(&f, "session", FLAG_TEXT, &p.session, "Session for -acquire and -release.");
	at = api_begin(c, &api, &f, true, "kv put [options] KEY [DATA]",
		"Writes a key. DATA may be @file or - for stdin.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (put_check(&p, &f, argc - at, at < argc ? argv[at] : "")) {
		return 1;
	}
	if (argc - at == 2 && data_read(argv[at + 1], &data, &why)) {
		return ctl_fail("Error! Failed to read file: %s", buf_cstr(&why));
	}
	if (p.base64 && base64_parse(buf_str(&data), &raw, &bad_at)) {
		return ctl_fail(
			"Error! Cannot base 64 decode data: illegal base64 data at input byte %zu",
			bad_at);
	}
	return put_send(&api, &p, argv[at], buf_str(p.base64 ? &raw : &data));
}

/* ---- delete ---- */

int kv_delete_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	bool cas = false, recurse = false;
	uint64_t modify_index = 0;
	struct flagset f = { 0 };
	const char *key;
	int at;

	flag_add(
		&f, "cas", FLAG_BOOL, &cas, "Delete only if the key has still this -modify-index.");
	flag_add(&f, "modify-index", FLAG_UINT, &modify_index, "Index for -cas.");
	flag_add(&f, "recurse", FLAG_BOOL, &recurse, "Delete all keys below a prefix.");
	at = api_begin(c, &api, &f, true, "kv delete [options] KEY_OR_PREFIX",
		"Deletes a key, or all below a prefix.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (argc - at > 1) {
		return ctl_fail("Too many arguments (expected 1, got %d)", argc - at);
	}
	key = at < argc ? key_of(argv[at]) : "";
	if (!key[0] && !recurse) {
		return ctl_fail("Error! Missing KEY argument");
	}
	if (cas && !modify_index) {
		return ctl_fail("Must specify -modify-index with -cas!");
	}
	if (modify_index && !cas) {
		return ctl_fail("Cannot specify -modify-index without -cas!");
	}
	if (cas && recurse) {
		return ctl_fail("Cannot specify both -cas and -recurse!");
	}
	key_path(&path, key);
	if (recurse) {
		path_mark(&path, "recurse");
	} else if (cas) {
		path_query_n(&path, "cas", modify_index);
	}
	if (api_ask(&api, "DELETE", &path, STR_NONE, &answer)) {
		return ctl_fail(recurse ? "Error! Did not delete prefix %s: %s"
				: cas	? "Error! Did not delete key %s: %s"
					: "Error deleting key %s: %s",
			key, api_error(&api));
	}
	if (!str_starts(buf_str(&answer.body), STR("true"))) {
		return ctl_fail("Error! Did not delete key %s: CAS failed", key);
	}
	ctl_say(recurse ? "Success! Deleted keys with prefix: %s" : "Success! Deleted key: %s",
		key);
	return 0;
}

/* ---- export, import ---- */

int kv_export_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, out = { 0 }, pretty = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct jsonw w = jsonw_of(&out);
	struct flagset f = { 0 };
	const struct json *pair;
	struct json *all = NULL;
	int at = api_begin(c, &api, &f, true, "kv export [options] [PREFIX]",
		"Prints all keys below a prefix as JSON.", argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	if (argc - at > 1) {
		return ctl_fail("Too many arguments (expected 1, got %d)", argc - at);
	}
	key_path(&path, at < argc ? key_of(argv[at]) : "");
	path_mark(&path, "recurse");
	if (api_call(&api, "GET", &path, STR_NONE, &answer)) {
		return ctl_fail("Error querying Consul agent: %s", api_error(&api));
	}
	if (answer.status != 200 && answer.status != 404) {
		return ctl_fail("Error querying Consul agent: Unexpected response code: %ld",
			answer.status);
	}
	if (answer.status == 200 &&
		json_parse(&api.arena, buf_str(&answer.body), &all, &api.error)) {
		return ctl_fail("Error querying Consul agent: %s", api_error(&api));
	}
	jsonw_open(&w, '[');
	for (pair = all ? all->first : NULL; pair; pair = pair->next) {
		jsonw_open(&w, '{');
		jsonw_put_cstr(&w, "key", field_text(pair, "Key"));
		jsonw_put_u64(&w, "flags", field_u64(pair, "Flags"));
		jsonw_put_cstr(&w, "value", field_text(pair, "Value"));
		jsonw_close(&w, '}');
	}
	jsonw_close(&w, ']');
	json_indent(&pretty, buf_str(&out), STR("\t"));
	ctl_say("%s", buf_cstr(&pretty));
	return 0;
}

struct entry {
	struct str key, value;
	uint64_t flags;
};

static const struct bind_field entry_fields[] = {
	{ "key", BIND_STR, offsetof(struct entry, key) },
	{ "flags", BIND_U64, offsetof(struct entry, flags) },
	{ "value", BIND_STR, offsetof(struct entry, value) },
};

static const struct bind_object entry_rows = {
	.go_name = "Entry",
	.go_value = "impexp.Entry",
	.size = sizeof(struct entry),
	BIND_FIELDS(entry_fields),
	.ignore_unknown = true,
};

static int import_one(struct api *api, const struct entry *e)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, value = { 0 };
	size_t bad_at = 0;

	if (base64_parse(e->value, &value, &bad_at)) {
		return ctl_fail("Error base 64 decoding value for key " STR_FMT
				": illegal base64 data at input byte %zu",
			STR_ARG(e->key), bad_at);
	}
	buf_put_lit(&path, "/v1/kv/");
	url_escape(&path, e->key, true);
	if (e->flags) {
		path_query_n(&path, "flags", e->flags);
	}
	if (api_ask(api, "PUT", &path, buf_str(&value), &answer)) {
		return ctl_fail("Error! Failed writing data for key " STR_FMT ": %s",
			STR_ARG(e->key), api_error(api));
	}
	ctl_say("Imported: " STR_FMT, STR_ARG(e->key));
	return 0;
}

/* All of them, before the first is written. ST_INVALID with the text in *why. */
static int entries_read(struct arena *arena, struct str data, struct entry **out, size_t *count_out,
	struct buf *why)
{
	const struct json *item;
	struct json *all;

	if (json_parse(arena, data, &all, why)) {
		if (str_ends(buf_str(why), STR("EOF"))) {
			buf_clear(why);
			buf_put_lit(why, "unexpected end of JSON input");
		}
		return ST_INVALID;
	}
	if (all->type != JSON_ARRAY && all->type != JSON_NULL) {
		buf_printf(why, "json: cannot unmarshal %s into Go value of type []*impexp.Entry",
			json_go_type(all));
		return ST_INVALID;
	}
	*out = arena_array(arena, struct entry, all->count);
	*count_out = 0;
	json_for_each (item, all) {
		if (bind_object(&entry_rows, item, arena, &(*out)[(*count_out)++], why)) {
			return ST_INVALID;
		}
	}
	return 0;
}

int kv_import_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf data = { 0 }, why = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	struct entry *entries;
	size_t count;
	int at = api_begin(c, &api, &f, true, "kv import [options] [DATA]",
		"Writes the keys of an export. DATA is JSON, @file, or - for stdin.", argc, argv);

	if (at < 0) {
		return -1 - at;
	}
	if (argc - at > 1) {
		return ctl_fail("Error! Too many arguments (expected 1, got %d)", argc - at);
	}
	if (at == argc) {
		return ctl_fail("Error! Missing DATA argument");
	}
	if (!argv[at][0]) {
		return ctl_fail("Error! Empty DATA argument");
	}
	if (data_read(argv[at], &data, &why)) {
		return ctl_fail("Error! Failed to read file: %s", buf_cstr(&why));
	}
	if (entries_read(&api.arena, buf_str(&data), &entries, &count, &why)) {
		return ctl_fail("Cannot unmarshal data: %s", buf_cstr(&why));
	}
	for (size_t i = 0; i < count; i++) {
		if (import_one(&api, &entries[i])) {
			return 1;
		}
	}
	return 0;
}
