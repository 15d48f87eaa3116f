/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame around commands: begin, decode, execute, derive, remember, finish.
 */
#include <stdio.h>

#include "catalogd/core/internal.h"

enum { SCRATCH_KEEP = 256 << 10, ITEMS_KEEP = 8192 };

struct catalog *catalog_new(void)
{
	struct catalog *c = xcalloc(1, sizeof(*c));

	map_init(&c->things, 0);
	map_init(&c->names, 0);
	set_init(&c->naming_services, &c->batch);
	set_init(&c->naming_nodes, &c->batch);
	set_init(&c->naming_late, &c->late_arena);
	set_init(&c->dirty, &c->arena);
	set_init(&c->renamed, &c->arena);
	requests_init(&c->requests);
	return c;
}

void catalog_free(struct catalog *c)
{
	map_fini(&c->things);
	map_fini(&c->names);
	set_fini(&c->naming_services);
	set_fini(&c->naming_nodes);
	set_fini(&c->naming_late);
	set_fini(&c->dirty);
	set_fini(&c->renamed);
	requests_fini(&c->requests);
	buf_fini(&c->changes);
	buf_fini(&c->why);
	buf_fini(&c->json);
	buf_fini(&c->def);
	buf_fini(&c->record);
	buf_fini(&c->answer);
	free(c->marks.items);
	free(c->addresses.items);
	arena_fini(&c->arena);
	arena_fini(&c->batch);
	arena_fini(&c->late_arena);
	free(c);
}

int fail(struct catalog *c, const char *format, ...)
{
	va_list args;

	buf_clear(&c->why);
	va_start(args, format);
	buf_vprintf(&c->why, format, args);
	va_end(args);
	return ST_INVALID;
}

int fail_within(struct catalog *c, const char *format, ...)
{
	struct str reason = arena_str(&c->arena, buf_str(&c->why));
	va_list args;

	buf_clear(&c->why);
	va_start(args, format);
	buf_vprintf(&c->why, format, args);
	va_end(args);
	buf_put_str(&c->why, reason);
	return ST_INVALID;
}

static void put_quoted_byte(struct buf *out, unsigned char ch)
{
	static const char letters[] = "abtnvfr"; /* 7 to 13 */

	if (ch == '"' || ch == '\\') {
		buf_put_char(out, '\\');
		buf_put_char(out, (char)ch);
	} else if (ch >= 7 && ch <= 13) {
		buf_put_char(out, '\\');
		buf_put_char(out, letters[ch - 7]);
	} else if (ch < 0x20 || ch == 0x7f) {
		buf_printf(out, "\\x%02x", ch);
	} else {
		buf_put_char(out, (char)ch);
	}
}

const char *quoted(struct catalog *c, struct str s)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 };
	bool valid = utf8_valid(s);

	buf_put_char(&text, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char ch = (unsigned char)s.p[i];

		if (ch >= 0x80 && !valid) {
			buf_printf(&text, "\\x%02x", ch);
		} else {
			put_quoted_byte(&text, ch);
		}
	}
	buf_put_char(&text, '"');
	return arena_str(&c->arena, buf_str(&text)).p;
}

struct str lower(struct catalog *c, struct str s)
{
	char *p;

	if (!s.n) {
		return STR("");
	}
	p = arena_alloc(&c->arena, s.n);
	str_lower_into(s, p);
	return str_n(p, s.n);
}

uint64_t catalog_applied(struct kv_txn *t, uint64_t *term_out)
{
	uint64_t applied[2] = { 0, 0 };
	struct str value;

	if (kv_get(t, STATE_META, STR("applied"), &value) && value.n == sizeof(applied)) {
		memcpy(applied, value.p, sizeof(applied));
	}
	if (term_out) {
		*term_out = applied[1];
	}
	return applied[0];
}

void things_clear(struct catalog *c)
{
	struct thing_entry *e, *following;

	map_for_each(e, following, &c->things, node)
	{
		map_del(&c->things, &e->node);
	}
}

void catalog_open(struct catalog *c, struct kv_txn *t)
{
	c->t = t;
	c->base = 0;
	table_get_u64(c, STATE_META, STR("base"), &c->base);
	requests_load(c);
	c->t = NULL;
}

/* What a batch of unusual size made grow is given back. */
static void batch_trim(struct catalog *c)
{
	if (c->things.slots_count > ITEMS_KEEP) {
		map_fini(&c->things);
		map_init(&c->things, 0);
	}
	if (c->marks.size > ITEMS_KEEP) {
		free(take(c->marks.items));
		c->marks.size = 0;
	}
	if (c->addresses.size > ITEMS_KEEP) {
		free(take(c->addresses.items));
		c->addresses.size = 0;
	}
	buf_trim(&c->changes, SCRATCH_KEEP);
}

void catalog_begin(struct catalog *c, struct kv_txn *t)
{
	c->t = t;
	things_clear(c);
	set_clear(&c->naming_services);
	set_clear(&c->naming_nodes);
	c->addresses.count = 0;
	c->replaced = false;
	c->applied = 0;
	c->naming_index = 0;
	arena_reset(&c->batch);
	batch_trim(c);
}

/* ---- one function per command: payload and text of the result are c->answer and c->why, or
 * constant ---- */

static enum result_kind run_cmd_register(
	struct catalog *c, struct cmd_register *cmd, struct str *payload)
{
	*payload = STR("true");
	undo_begin(c);
	if (register_apply(c, cmd)) {
		undo_all(c);
		return RESULT_ERROR;
	}
	undo_keep(c);
	return RESULT_OK;
}

static enum result_kind run_cmd_deregister(
	struct catalog *c, struct cmd_deregister *cmd, struct str *payload)
{
	*payload = STR("true");
	return deregister_apply(c, cmd) ? RESULT_ERROR : RESULT_OK;
}

static enum result_kind run_cmd_kv(struct catalog *c, struct cmd_kv *cmd, struct str *payload)
{
	bool done;

	if (kv_apply(c, cmd, &done)) {
		return RESULT_ERROR;
	}
	*payload = done ? STR("true") : STR("false");
	return RESULT_OK;
}

static enum result_kind run_cmd_session_create(
	struct catalog *c, struct cmd_session_create *cmd, struct str *payload)
{
	if (session_create(c, &cmd->session)) {
		return RESULT_ERROR;
	}
	buf_clear(&c->answer);
	buf_put_lit(&c->answer, "{\"ID\":\"");
	uuid_render(&c->answer, &cmd->session.id);
	buf_put_lit(&c->answer, "\"}");
	*payload = buf_str(&c->answer);
	return RESULT_OK;
}

static enum result_kind run_cmd_session_destroy(
	struct catalog *c, struct cmd_session_destroy *cmd, struct str *payload)
{
	session_delete(c, &cmd->id);
	*payload = STR("true");
	return RESULT_OK;
}

static enum result_kind run_cmd_txn(struct catalog *c, struct cmd_txn *cmd, struct str *payload)
{
	enum result_kind kind;

	undo_begin(c);
	kind = txn_apply(c, cmd);
	if (kind == RESULT_OK) {
		undo_keep(c);
	} else {
		undo_all(c);
	}
	*payload = kind == RESULT_ERROR ? STR_NONE : buf_str(&c->answer);
	return kind;
}

static enum result_kind run_cmd_reap(struct catalog *c, struct cmd_reap *cmd, struct str *payload)
{
	kv_reap(c, cmd->index);
	return RESULT_OK;
}

static enum result_kind run_cmd_restore_begin(
	struct catalog *c, struct cmd_restore_begin *cmd, struct str *payload)
{
	return restore_begin(c, cmd) ? RESULT_ERROR : RESULT_OK;
}

static enum result_kind run_cmd_restore_chunk(
	struct catalog *c, struct cmd_restore_chunk *cmd, struct str *payload)
{
	return restore_chunk(c, cmd) ? RESULT_ERROR : RESULT_OK;
}

static enum result_kind run_cmd_restore_end(
	struct catalog *c, struct cmd_restore_end *cmd, struct str *payload)
{
	return restore_end(c, cmd) ? RESULT_ERROR : RESULT_OK;
}

static enum result_kind run_cmd_coordinates(
	struct catalog *c, struct cmd_coordinates *cmd, struct str *payload)
{
	coordinates_apply(c, cmd);
	return RESULT_OK;
}

static enum result_kind run(struct catalog *c, const struct command *command, struct str *payload);

/* An entry's term is that of the leader that appended it: a command of an earlier leader's, however
 * it got here, is void. */
static enum result_kind run_cmd_as_leader(
	struct catalog *c, struct cmd_as_leader *cmd, struct str *payload)
{
	struct command inner = { .type = cmd->type, .payload = cmd->payload };

	if (cmd->term != c->applied_term || cmd->type == COMMAND_cmd_as_leader) {
		fail(c, "leadership lost");
		return RESULT_ERROR;
	}
	return run(c, &inner, payload);
}

static enum result_kind run_cmd_lock_delays_end(
	struct catalog *c, struct cmd_lock_delays_end *cmd, struct str *payload)
{
	lock_delays_end(c, cmd);
	return RESULT_OK;
}

static enum result_kind run_cmd_autopilot(
	struct catalog *c, struct cmd_autopilot *cmd, struct str *payload)
{
	*payload = autopilot_apply(c, cmd) ? STR("true") : STR("false");
	return RESULT_OK;
}

static enum result_kind run_cmd_query(struct catalog *c, struct cmd_query *cmd, struct str *payload)
{
	if (query_apply(c, cmd)) {
		return RESULT_ERROR;
	}
	if (cmd->op == QUERY_CREATE) {
		buf_clear(&c->answer);
		buf_put_lit(&c->answer, "{\"ID\":\"");
		uuid_render(&c->answer, &cmd->query.id);
		buf_put_lit(&c->answer, "\"}");
		*payload = buf_str(&c->answer);
	}
	return RESULT_OK;
}

static enum result_kind run_cmd_noop(struct catalog *c, struct cmd_noop *cmd, struct str *payload)
{
	return RESULT_OK;
}

static enum result_kind run(struct catalog *c, const struct command *command, struct str *payload)
{
	switch (command->type) {
#define TYPE(type)
#define COMMAND(number, name)                                           \
	case number: {                                                  \
		struct name cmd;                                        \
                                                                        \
		if (name##_decode(command->payload, &c->arena, &cmd)) { \
			break;                                          \
		}                                                       \
		return run_##name(c, &cmd, payload);                    \
	}
#include "common/msg/command.def"
#undef COMMAND
#undef TYPE
	}
	fail(c, "malformed command of type %u", command->type);
	return RESULT_ERROR;
}

/* What the command changed becomes what the batch changed. */
static void marks_merge(struct catalog *c)
{
	char key[KV_KEY_MAX + 1];

	for (size_t i = 0; i < c->marks.count; i++) {
		const struct mark *m = &c->marks.items[i];
		struct str k = str_n(key, m->name.n + 1);
		struct thing_entry *e;

		must(k.n <= sizeof(key));
		key[0] = (char)m->kind;
		if (m->name.n) {
			memcpy(key + 1, m->name.p, m->name.n);
		}
		e = map_find(&c->things, k, struct thing_entry, node);
		if (!e) {
			e = arena_new(&c->batch, struct thing_entry);
			map_add(&c->things, &e->node, arena_str(&c->batch, k));
		}
		e->index = c->index;
		e->forgotten = false;
	}
	c->marks.count = 0;
}

static void renamed_merge(struct catalog *c)
{
	struct name_entry *e, *following;

	map_for_each(e, following, &c->renamed.map, node)
	{
		struct str name = str_skip(e->node.key, 1);

		set_add(e->node.key.p[0] == 's' ? &c->naming_services : &c->naming_nodes, name);
	}
	if (c->renamed.map.count || c->addresses.count > c->addresses_before) {
		c->naming_index = c->applied;
	}
	set_clear(&c->renamed);
}

static void execute(struct catalog *c, const struct command *command, struct result *out)
{
	struct str payload = STR_NONE;
	enum result_kind kind;

	buf_clear(&c->why);
	c->addresses_before = c->addresses.count;
	kind = run(c, command, &payload);
	derive_flush(c);
	marks_merge(c);
	renamed_merge(c);
	*out = (struct result) {
		.kind = (uint8_t)kind,
		.index = c->applied,
		.text = kind == RESULT_ERROR ? buf_str(&c->why) : STR_NONE,
		.payload = kind == RESULT_ERROR ? STR_NONE : payload,
	};
}

void catalog_apply(struct catalog *c, uint64_t index, uint64_t term, struct str bytes,
	struct catalog_outcome *out)
{
	struct command command;

	must(index > c->applied);
	arena_reset(&c->arena);
	buf_trim(&c->answer, SCRATCH_KEEP);
	buf_trim(&c->json, SCRATCH_KEEP);
	buf_trim(&c->record, SCRATCH_KEEP);
	c->applied = index;
	c->applied_term = term;
	c->index = index + c->base;
	*out = (struct catalog_outcome) { .result = { .kind = RESULT_OK, .index = index } };
	if (!bytes.n) {
		return; /* an entry of the log's own */
	}
	if (command_decode(bytes, &c->arena, &command)) {
		fail(c, "malformed command");
		out->result = (struct result) {
			.kind = RESULT_ERROR, .index = index, .text = buf_str(&c->why)
		};
		return;
	}
	out->id = command.id;
	out->type = command.type;
	if (uuid_is_zero(&command.id)) {
		execute(c, &command, &out->result);
		return;
	}
	out->repeated = requests_find(c, &command.id, &out->result);
	if (!out->repeated) {
		execute(c, &command, &out->result);
		requests_add(c, &command.id, &out->result);
	}
}

void catalog_finish(struct catalog *c)
{
	const uint64_t applied[2] = { c->applied, c->applied_term };
	const uint32_t format = STATE_FORMAT;
	struct thing_entry *e, *following;

	map_for_each(e, following, &c->things, node)
	{
		struct catalog_change change = {
			.kind = (enum thing)e->node.key.p[0],
			.name = str_skip(e->node.key, 1),
			.index = e->index,
		};

		buf_put(&c->changes, &change, sizeof(change));
		if (change.kind != THING_KV && !e->forgotten) {
			kv_put(c->t, STATE_THINGS, e->node.key, str_n(&e->index, sizeof(e->index)));
		}
	}
	if (c->naming_index) {
		kv_put(c->t, STATE_META, STR("naming"),
			str_n(&c->naming_index, sizeof(c->naming_index)));
	}
	if (c->applied) {
		kv_put(c->t, STATE_META, STR("applied"), str_n(applied, sizeof(applied)));
		kv_put(c->t, STATE_META, STR("format"), str_n(&format, sizeof(format)));
	}
	c->t = NULL;
}

size_t catalog_changes(struct catalog *c, const struct catalog_change **out)
{
	*out = (const struct catalog_change *)(const void *)c->changes.p;
	return c->changes.n / sizeof(**out);
}

bool catalog_naming_changed(const struct catalog *c)
{
	return c->naming_index != 0;
}

bool catalog_replaced(const struct catalog *c)
{
	return c->replaced;
}
