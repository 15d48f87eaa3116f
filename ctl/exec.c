/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster exec: has other nodes run a command, and shows what they print. What is to be done lies in
 * the KV store under the key of a session, an event tells the nodes of it, and they write what
 * becomes of it beside it (checkd/core/remote.h has the layout).
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/map.h"
#include "common/sys/clock.h"
#include "ctl/api.h"
#include "ctl/child.h"
#include "ctl/commands.h"

enum {
	RENEW_MS = 5000,   /* of the session, whose TTL is 15 s */
	ANSWER_MS = 15000, /* for a request beyond what it may wait */
	SCRIPT_MAX = 384 << 10,
};

struct seen {
	struct map_node entry;
	char name[];
};

struct execution {
	struct api api;
	struct event_filter filters[3]; /* node, service, tag */
	const char *prefix;
	bool shell, verbose;
	int64_t wait_ns, replication_ns;
	struct buf command, script;
	char **words;
	int words_count;
	int signals;
	char session[UUID_TEXT_SIZE + 1]; /* "": none */
	struct buf directory;		  /* <prefix>/<session> */
	struct mono renew_due;
	struct map seen; /* keys that were looked at */
	uint64_t index;
	unsigned acknowledged, finished;
	bool failed;	  /* a node's command did, or has not ended */
	struct mono news; /* the last of any node */
};

/* ---- the session ---- */

static int ask(struct execution *e, const char *method, struct buf *path, struct str body,
	struct api_answer *answer)
{
	e->api.timeout_ms = ANSWER_MS;
	return api_ask(&e->api, method, path, body, answer);
}

static bool renew(struct execution *e)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	int r;

	if (mono_before(clock_mono(), e->renew_due)) {
		return true;
	}
	buf_printf(&path, "/v1/session/renew/%s", e->session);
	r = ask(e, "PUT", &path, STR_NONE, &answer);
	e->renew_due = mono_add_ms(clock_mono(), RENEW_MS);
	if (r && r != ST_AGAIN) {
		ctl_fail("Session renew failed: %s", api_error(&e->api));
		e->renew_due = MONO_NEVER;
	}
	return r != ST_AGAIN;
}

/* In another data centre a session belongs to one of its servers, since this node is not known
 * there. The node's name; NULL: none, with the text in api.error. */
static const char *foreign_node(struct execution *e)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, text = { 0 };
	const struct json *list;

	buf_put_lit(&path, "/v1/health/service/consul?passing=1");
	buf_put_lit(&text, "Failed to find Consul server in remote datacenter");
	if (api_get(&e->api, &path, &list)) {
		buf_printf(&text, ": %s", api_error(&e->api));
	} else if (list->first) {
		const struct json *node = json_find(list->first, "Node");

		return node ? field_text(node, "Node") : "";
	}
	buf_clear(&e->api.error);
	buf_put_str(&e->api.error, buf_str(&text));
	return NULL;
}

static void member_put(struct jsonw *w, const char *key, const char *value)
{
	jsonw_key(w, str_of(key));
	jsonw_cstr(w, value);
}

static int session_body(struct execution *e, const struct json *config, struct buf *body)
{
	struct jsonw w = jsonw_of(body);
	const char *here = field_text(config, "Datacenter"), *there = e->api.datacenter, *node;

	jsonw_open(&w, '{');
	if (!there || !there[0] || strcmp(there, here) == 0) {
		member_put(&w, "Name", "Remote Exec");
	} else {
		OWN_EMBEDDED(buf_fini) struct buf name = { 0 };

		ctl_tell(e->verbose, "Remote exec in foreign datacenter, using Session TTL");
		node = foreign_node(e);
		if (!node) {
			return ST_INVALID;
		}
		ctl_tell(e->verbose, "Binding session to remote node %s@%s", node, there);
		buf_printf(&name, "Remote Exec via %s@%s", field_text(config, "NodeName"), here);
		member_put(&w, "Name", buf_cstr(&name));
		member_put(&w, "Node", node);
		jsonw_keyc(&w, "Checks");
		jsonw_raw(&w, STR("[]"));
	}
	member_put(&w, "Behavior", "delete");
	member_put(&w, "TTL", "15s");
	jsonw_close(&w, '}');
	return 0;
}

static int session_open(struct execution *e, const struct json *config)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, body = { 0 };
	struct json *session;

	buf_put_lit(&path, "/v1/session/create");
	if (session_body(e, config, &body) || ask(e, "PUT", &path, buf_str(&body), &answer) ||
		json_parse(&e->api.arena, buf_str(&answer.body), &session, &e->api.error)) {
		return ctl_fail("Failed to create session: %s", api_error(&e->api));
	}
	snprintf(e->session, sizeof(e->session), "%s", field_text(session, "ID"));
	e->renew_due = mono_add_ms(clock_mono(), RENEW_MS);
	path_join(&e->directory, str_of(e->prefix));
	path_join(&e->directory, str_of(e->session));
	ctl_tell(e->verbose, "Created remote execution session: %s", e->session);
	return 0;
}

/* The session first: from then on no node can write any more. */
static void clean_up(struct execution *e)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

	e->api.wake_fd = 0;
	buf_printf(&path, "/v1/session/destroy/%s", e->session);
	(void)ask(e, "PUT", &path, STR_NONE, &answer);
	buf_clear(&path);
	buf_put_lit(&path, "/v1/kv/");
	url_escape(&path, buf_str(&e->directory), true);
	path_mark(&path, "recurse");
	(void)ask(e, "DELETE", &path, STR_NONE, &answer);
}

/* ---- the order ---- */

static void spec_render(const struct execution *e, struct buf *out)
{
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	if (e->script.n) {
		jsonw_keyc(&w, "Script");
		jsonw_base64(&w, buf_str(&e->script));
	} else if (e->shell) {
		jsonw_put_str(&w, "Command", buf_str(&e->command));
	} else {
		jsonw_keyc(&w, "Args");
		jsonw_open(&w, '[');
		for (int i = 0; i < e->words_count; i++) {
			jsonw_cstr(&w, e->words[i]);
		}
		jsonw_close(&w, ']');
	}
	jsonw_put_i64(&w, "Wait", e->wait_ns);
	jsonw_close(&w, '}');
}

static int upload(struct execution *e)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, key = { 0 }, spec = { 0 };

	spec_render(e, &spec);
	buf_put_str(&key, buf_str(&e->directory));
	path_join(&key, STR("job"));
	buf_put_lit(&path, "/v1/kv/");
	url_escape(&path, buf_str(&key), true);
	path_query(&path, "acquire", e->session);
	if (ask(e, "PUT", &path, buf_str(&spec), &answer)) {
		return ctl_fail("Failed to create job file: %s", api_error(&e->api));
	}
	if (!str_starts(buf_str(&answer.body), STR("true"))) {
		return ctl_fail(
			"Failed to create job file: failed to acquire key %s", buf_cstr(&key));
	}
	ctl_tell(e->verbose, "Uploaded remote execution spec");
	return 0;
}

static int fire(struct execution *e)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, body = { 0 };
	struct jsonw w = jsonw_of(&body);
	struct json *event;

	jsonw_open(&w, '{');
	member_put(&w, "Prefix", e->prefix);
	member_put(&w, "Session", e->session);
	jsonw_close(&w, '}');
	buf_put_lit(&path, "/v1/event/fire/_rexec");
	for (size_t i = 0; i < ARRAY_SIZE(e->filters); i++) {
		path_query(&path, e->filters[i].what, e->filters[i].text);
	}
	if (ask(e, "PUT", &path, buf_str(&body), &answer) ||
		json_parse(&e->api.arena, buf_str(&answer.body), &event, &e->api.error)) {
		return ctl_fail("Failed to fire event: %s", api_error(&e->api));
	}
	ctl_tell(e->verbose, "Fired remote execution event: %s", field_text(event, "ID"));
	return 0;
}

/* ---- what the nodes say ---- */

/* Each line behind the node's name; white space at the end of all is left out. */
static void node_say(struct str node, bool own_word, struct str text)
{
	OWN_EMBEDDED(buf_fini) struct buf lines = { 0 };
	struct str rest = text.p ? text : STR("");

	while (rest.p) {
		struct str line = str_split(rest, '\n', &rest);

		buf_printf(&lines, "%s " STR_FMT ": ", own_word ? "==>" : "   ", STR_ARG(node));
		buf_put_str(&lines, line);
		buf_put_char(&lines, '\n');
	}
	while (lines.n && strchr(" \t\n\v\f\r", lines.p[lines.n - 1])) {
		lines.n--;
	}
	buf_put_char(&lines, '\n');
	fwrite(lines.p, 1, lines.n, stdout);
	fflush(stdout);
}

static int value_read(struct execution *e, struct str key, struct buf *out)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

	buf_put_lit(&path, "/v1/kv/");
	url_escape(&path, key, true);
	path_mark(&path, "raw");
	if (ask(e, "GET", &path, STR_NONE, &answer)) {
		return ctl_fail(
			"Failed to read key '" STR_FMT "': %s", STR_ARG(key), api_error(&e->api));
	}
	buf_put_str(out, buf_str(&answer.body));
	return 0;
}

static void on_acknowledged(struct execution *e, struct str node, struct str key)
{
	e->acknowledged++;
	if (e->verbose) {
		node_say(node, true, STR("acknowledged"));
	}
}

static void on_output(struct execution *e, struct str node, struct str key)
{
	OWN_EMBEDDED(buf_fini) struct buf value = { 0 };

	if (value_read(e, key, &value)) {
		return;
	}
	if (value.n) {
		node_say(node, false, buf_str(&value));
	} else if (e->verbose) {
		node_say(node, true, STR("heartbeat received"));
	}
}

static void on_exit_code(struct execution *e, struct str node, struct str key)
{
	OWN_EMBEDDED(buf_fini) struct buf value = { 0 }, text = { 0 };
	int64_t code;

	if (value_read(e, key, &value)) {
		return;
	}
	if (str_to_i64(buf_str(&value), &code)) {
		ctl_fail("Failed to parse exit code '" STR_FMT "'", STR_ARG(buf_str(&value)));
		return;
	}
	buf_printf(&text, "finished with exit code %lld", (long long)code);
	node_say(node, true, buf_str(&text));
	e->finished++;
	e->failed = e->failed || code;
}

/* What stands behind the node's name. */
enum key_kind { KEY_ACK, KEY_OUT, KEY_EXIT, KEY_OTHER };

static enum key_kind key_parse(struct str name, struct str *node_out)
{
	ssize_t last = str_rfind(name, '/');
	struct str above = last < 0 ? STR("") : str_cut(name, (size_t)last);

	*node_out = above;
	if (str_ends(name, STR("/ack"))) {
		return KEY_ACK;
	}
	if (str_ends(name, STR("/exit"))) {
		return KEY_EXIT;
	}
	if (str_ends(above, STR("/out"))) {
		*node_out = str_cut(above, above.n - strlen("/out"));
		return KEY_OUT;
	}
	return KEY_OTHER;
}

static bool is_new(struct execution *e, struct str key)
{
	struct seen *s;

	if (map_find_node(&e->seen, key)) {
		return false;
	}
	s = xmalloc(sizeof(*s) + key.n);
	memcpy(s->name, key.p, key.n);
	map_add(&e->seen, &s->entry, str_n(s->name, key.n));
	return true;
}

/* A node's exit comes behind its output here, whatever the order of keys. */
static void keys_look_at(struct execution *e, const struct json *keys, bool exits)
{
	static void (*const takers[])(struct execution * e, struct str node, struct str key) = {
		[KEY_ACK] = on_acknowledged,
		[KEY_OUT] = on_output,
		[KEY_EXIT] = on_exit_code,
	};
	const struct json *key;

	json_for_each (key, keys) {
		struct str name = str_skip(key->text, e->directory.n + 1), node;
		enum key_kind kind = key_parse(name, &node);

		if (str_is(name, "job") || (kind == KEY_EXIT) != exits || !is_new(e, key->text)) {
			continue;
		}
		e->news = clock_mono();
		if (kind == KEY_OTHER) {
			ctl_fail("Unknown key '" STR_FMT "', ignoring.", STR_ARG(name));
		} else {
			takers[kind](e, node, key->text);
		}
	}
}

/* Until when silence means that it is over: longer while somebody is known to be at work. */
static int64_t patience_ms(const struct execution *e)
{
	int64_t wait_ms = e->wait_ns / NS_PER_MS * (e->acknowledged > e->finished ? 2 : 1);

	return wait_ms - mono_diff_ms(clock_mono(), e->news);
}

static int keys_ask(struct execution *e, int64_t wait_ms, struct api_answer *answer)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	char wait[32];

	buf_put_lit(&path, "/v1/kv/");
	url_escape(&path, buf_str(&e->directory), true);
	buf_put_lit(&path, "/?keys=");
	if (e->index) {
		snprintf(wait, sizeof(wait), "%lldms", (long long)wait_ms);
		path_query_n(&path, "index", e->index);
		path_query(&path, "wait", wait);
	}
	e->api.timeout_ms = wait_ms + wait_ms / 16 + ANSWER_MS;
	return api_ask(&e->api, "GET", &path, STR_NONE, answer);
}

/* 0: go on; else as api_ask */
static int results_read(struct execution *e, int64_t wait_ms)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	struct json *keys;
	int r;

	arena_reset(&e->api.arena);
	r = keys_ask(e, wait_ms, &answer);
	if (r == 0 && answer.index != e->index) {
		e->index = answer.index;
		r = json_parse(&e->api.arena, buf_str(&answer.body), &keys, &e->api.error);
		if (r == 0) {
			keys_look_at(e, keys, false);
			keys_look_at(e, keys, true);
		}
	}
	if (r && r != ST_AGAIN) {
		ctl_fail("Failed to read results: %s", api_error(&e->api));
	}
	return r;
}

static int results_wait(struct execution *e)
{
	struct mono begin = clock_mono();
	int64_t left_ms;

	e->news = begin;
	while ((left_ms = patience_ms(e)) > 0) {
		int64_t until_renewal = max_of(mono_diff_ms(e->renew_due, clock_mono()), 1);

		if (!renew(e) || results_read(e, min_of(left_ms, until_renewal))) {
			return 1;
		}
	}
	ctl_say("%u / %u node(s) completed / acknowledged", e->finished, e->acknowledged);
	ctl_tell(e->verbose, "Completed in %.2f seconds",
		(double)mono_diff_ms(clock_mono(), begin) / 1000);
	return e->failed || e->finished < e->acknowledged ? 2 : 0;
}

/* ---- the whole ---- */

static int run(struct execution *e)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	const struct json *self, *config;
	int status;

	buf_put_lit(&path, "/v1/agent/self");
	if (api_get(&e->api, &path, &self)) {
		return ctl_fail("Error querying Consul agent: %s", api_error(&e->api));
	}
	config = json_find(self, "Config");
	if (session_open(e, config ? config : self)) {
		return 1;
	}
	e->signals = signals_open();
	e->api.wake_fd = e->signals;
	status = upload(e);
	if (status == 0 && signals_next(e->signals, e->replication_ns / NS_PER_MS)) {
		status = 1;
	}
	status = status ? status : fire(e);
	status = status ? status : results_wait(e);
	clean_up(e);
	return status;
}

static int script_read(struct execution *e)
{
	ssize_t n;

	do {
		n = read(STDIN_FILENO, buf_reserve(&e->script, 65536), 65536);
		e->script.n += n > 0 ? (size_t)n : 0;
	} while (n > 0 && e->script.n <= SCRIPT_MAX);
	if (n < 0) {
		return ctl_fail("Failed to read stdin: %m");
	}
	return n ? ctl_fail("The script is larger than %d bytes", SCRIPT_MAX) : 0;
}

/* What is to be run: words for a shell, words as they are, or a script from stdin. */
static int command_take(struct execution *e)
{
	for (int i = 0; i < e->words_count; i++) {
		buf_printf(&e->command, "%s%s", i ? " " : "", e->words[i]);
	}
	if (!str_is(buf_str(&e->command), "-")) {
		return 0;
	}
	if (!e->shell) {
		return ctl_fail("Cannot configure -shell=false when reading from stdin");
	}
	buf_clear(&e->command);
	return script_read(e);
}

static int check(const struct execution *e)
{
	if (filters_check(e->filters, ARRAY_SIZE(e->filters))) {
		return 1;
	}
	if (ctl_is_set(e->filters[2].text) && !ctl_is_set(e->filters[1].text)) {
		return ctl_fail("Cannot provide tag filter without service filter.");
	}
	return 0;
}

static void flags_take(struct execution *e, struct flagset *f)
{
	flag_add(f, "node", FLAG_TEXT, &e->filters[0].text,
		"Only nodes whose names match this expression.");
	flag_add(f, "service", FLAG_TEXT, &e->filters[1].text,
		"Only nodes with a service that matches.");
	flag_add(f, "tag", FLAG_TEXT, &e->filters[2].text,
		"With -service: only where one of its tags matches.");
	flag_add(f, "prefix", FLAG_TEXT, &e->prefix, "Where in the KV store it is told.");
	flag_add(f, "shell", FLAG_BOOL, &e->shell, "Have a shell run the command.");
	flag_add(f, "verbose", FLAG_BOOL, &e->verbose, "Say what happens.");
	flag_add(f, "wait", FLAG_DURATION, &e->wait_ns,
		"How long nobody must have said anything for it to be over.");
	flag_add(f, "wait-repl", FLAG_DURATION, &e->replication_ns,
		"How long to wait before the nodes are told, for all servers to know of it.");
}

static void execution_fini(struct execution *e)
{
	struct seen *s, *next;

	map_for_each(s, next, &e->seen, entry)
	{
		map_del(&e->seen, &s->entry);
		free(s);
	}
	map_fini(&e->seen);
	buf_fini(&e->command);
	buf_fini(&e->script);
	buf_fini(&e->directory);
	api_fini(&e->api);
}

int exec_run(struct ctl *c, int argc, char **argv)
{
	static const char usage[] = "exec [options] [-|command...]";
	static const char about[] =
		"Has nodes run a command and shows what they print. With - the command is a "
		"script on stdin. Nodes do so where disable_remote_exec is false.";
	struct execution e = { .filters = { { "node", NULL }, { "service", NULL },
				       { "tag", NULL } },
		.prefix = "_rexec",
		.shell = true,
		.wait_ns = 2 * NS_PER_S,
		.replication_ns = 200 * NS_PER_MS };
	OWN_EMBEDDED(buf_fini) struct buf help = { 0 };
	struct flagset f = { 0 };
	int at, status;

	map_init(&e.seen, 0);
	flags_take(&e, &f);
	at = api_begin(c, &e.api, &f, true, usage, about, argc, argv);
	e.words = argv + max_of(at, 0);
	e.words_count = argc - max_of(at, 0);
	if (at < 0) {
		status = -1 - at;
	} else if (command_take(&e)) {
		status = 1;
	} else if (!e.command.n && !e.script.n) {
		ctl_help(c, &f, usage, about, &help);
		status = ctl_fail("Must specify a command to execute\n\n%s", buf_cstr(&help));
	} else {
		status = check(&e) ? 1 : run(&e);
	}
	execution_fini(&e);
	return status;
}
