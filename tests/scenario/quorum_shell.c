/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying out updates, and writing down what they were.
 */
#include "tests/scenario/quorum.h"

#include <stdio.h>

#include "common/base/err.h"

#define N(x) ((unsigned long long)(x))

struct uuid server_id(unsigned number)
{
	return (struct uuid) { .b = { 's', (uint8_t)('1' + number) } };
}

const char *server_name(const struct uuid *id)
{
	static char name[4][3];
	static unsigned at;
	char *n = name[at++ % 4];

	if (uuid_is_zero(id)) {
		return "-";
	}
	n[0] = (char)id->b[0];
	n[1] = (char)id->b[1];
	return n;
}

static void say(struct server *s, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(struct server *s, const char *format, ...)
{
	va_list args;

	buf_printf(s->table->trace, "s%u ", s->number + 1);
	va_start(args, format);
	buf_vprintf(s->table->trace, format, args);
	va_end(args);
	buf_put_char(s->table->trace, '\n');
}

/* -------- what is said of things -------- */

static void put_configuration(struct buf *out, const struct configuration *c)
{
	for (size_t i = 0; i < c->count; i++) {
		buf_printf(out, "%s%s%s", i ? "," : "", server_name(&c->servers[i].id),
			c->servers[i].voter ? "" : "(no vote)");
	}
}

static void put_message(struct buf *out, const struct raft_message *m)
{
	buf_printf(out, "%s term=%llu", raft_message_name(m->type), N(m->term));
	switch (m->type) {
	case RAFT_PRE_VOTE:
	case RAFT_VOTE:
		buf_printf(out, " log=%llu/%llu%s%s", N(m->index), N(m->log_term),
			m->tag ? " new-cluster" : "", m->force ? " forced" : "");
		break;
	case RAFT_APPEND:
		buf_printf(out, " behind=%llu/%llu entries=%u commit=%llu", N(m->index),
			N(m->log_term), m->entries.count, N(m->commit));
		break;
	case RAFT_APPEND_REPLY:
		buf_printf(out, m->granted ? " yes to=%llu" : " no try=%llu/%llu", N(m->index),
			N(m->log_term));
		break;
	case RAFT_READ:
	case RAFT_READ_REPLY:
		buf_printf(out, " %s tag=%llu index=%llu %s",
			m->kind == RAFT_READ_LEASE ? "lease" : "round", N(m->tag), N(m->index),
			status_name(m->status));
		break;
	case RAFT_PRE_VOTE_REPLY:
	case RAFT_VOTE_REPLY:
		buf_put_cstr(out, m->granted ? " yes" : " no");
		break;
	default:
		break;
	}
}

void shell_show(const struct server *s)
{
	struct buf *out = s->table->trace;
	const struct raft *r = &s->raft;

	buf_printf(out,
		"s%u = %s term=%llu vote=%s leader=%s log=%llu..%llu/%llu durable=%llu commit=%llu "
		"of ",
		s->number + 1,
		r->role == RAFT_PRE_CANDIDATE ? "PreCandidate" : raft_role_name(r->role),
		N(r->persistent.term), server_name(&r->persistent.vote), server_name(&r->leader),
		N(r->trail.first), N(r->trail.last), N(raft_last_term(r)), N(r->durable_index),
		N(r->commit_index));
	put_configuration(out, &r->configuration);
	buf_put_char(out, '\n');
}

static void put_decisions(struct server *s, const struct raft_update *u)
{
	const struct raft *r = &s->raft;

	if (u->status) {
		say(s, "refuses: %s", status_name(u->status));
	}
	if (u->role_changed || u->note) {
		say(s, "is %s: %s",
			r->role == RAFT_PRE_CANDIDATE ? "PreCandidate" : raft_role_name(r->role),
			u->note ? u->note : "");
	}
	if (u->persist) {
		say(s, "stores term=%llu vote=%s snapshot=%llu/%llu", N(r->persistent.term),
			server_name(&r->persistent.vote), N(r->persistent.snapshot_index),
			N(r->persistent.snapshot_term));
	}
	if (u->committed) {
		say(s, "commits %llu", N(r->commit_index));
	}
	for (int kind = 0; kind < RAFT_READ_KINDS; kind++) {
		const struct raft_reads_end *end = &u->reads[kind];

		if (end->through) {
			say(s, "ends %s reads up to tag %llu: %s index=%llu",
				kind == RAFT_READ_LEASE ? "lease" : "round", N(end->through),
				status_name(end->status), N(end->index));
		}
	}
	if (!uuid_is_zero(&u->snapshot_to)) {
		say(s, "begins to send its snapshot to %s", server_name(&u->snapshot_to));
	}
}

/* -------- carrying out -------- */

static void put_entry(struct server *s, uint64_t term, uint8_t type, struct str body)
{
	static const char *const types[] = { "?", "command", "no-op", "configuration" };
	struct entry *e = &s->log[++s->last];

	must(s->last <= LOG_MAX);
	*e = (struct entry) { .term = term, .type = type };
	if (type == RAFT_CONFIGURATION) {
		must(configuration_decode(body, &e->configuration) == 0);
	}
	say(s, "appends %llu: term=%llu %s", N(s->last), N(term), types[type < 4 ? type : 0]);
}

static void carry_out(struct server *s, const struct raft_event *e, const struct raft_update *u)
{
	if (u->persist) {
		s->disk = s->raft.persistent;
	}
	if (u->reset) {
		s->first = u->reset_index + 1;
		s->last = s->synced = u->reset_index;
		s->before_term = u->reset_term;
		say(s, "forgets its log, goes on behind %llu/%llu", N(u->reset_index),
			N(u->reset_term));
	}
	if (u->cut) {
		s->last = u->cut_after;
		s->synced = min_of(s->synced, s->last);
		say(s, "cuts its log behind %llu", N(s->last));
	}
	for (uint32_t i = u->accept_from; u->accept && i < e->message->entries.count; i++) {
		const struct raft_log_entry *entry = &e->message->entries.items[i];

		must(s->last == e->message->index + i);
		put_entry(s, entry->term, entry->type, entry->body);
	}
	for (size_t i = 0; i < u->append_count; i++) {
		must(u->append[i].index == s->last + 1);
		put_entry(s, u->append[i].term, (uint8_t)u->append[i].type, u->append[i].body);
	}
	if (u->discard_before) {
		s->before_term = s->log[u->discard_before - 1].term;
		s->first = u->discard_before;
		say(s, "discards what is before %llu", N(s->first));
	}
}

static void fill(struct server *s, struct raft_message *m, uint64_t through, struct arena *arena)
{
	uint64_t count = through > m->index ? through - m->index : 0;

	m->entries.items = arena_array(arena, struct raft_log_entry, count);
	m->entries.count = (uint32_t)count;
	for (uint64_t i = 0; i < count; i++) {
		const struct entry *e = &s->log[m->index + 1 + i];
		OWN_EMBEDDED(buf_fini) struct buf body = { 0 };

		if (e->type == RAFT_CONFIGURATION) {
			configuration_encode(&body, &e->configuration);
		}
		m->entries.items[i] = (struct raft_log_entry) { e->term, e->type,
			arena_str(arena, buf_str(&body)) };
	}
}

static void send(struct server *s, const struct raft_send *what)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct raft_message m = what->message;
	struct letter *l = xcalloc(1, sizeof(*l));

	fill(s, &m, what->through, &arena);
	raft_message_encode(&l->bytes, &m);
	l->from = s->number;
	l->life = s->raft.persistent.life;
	l->to = (unsigned)(m.to.b[1] - '1');
	list_add_tail(&s->table->letters, &l->link);
	buf_printf(s->table->trace, "s%u > s%u ", l->from + 1, l->to + 1);
	put_message(s->table->trace, &m);
	buf_put_char(s->table->trace, '\n');
}

static void sent(struct server *s, const struct uuid *peer, uint64_t index)
{
	struct raft_event e = { .type = RAFT_EVENT_SENT, .peer = *peer, .index = index };

	shell_step(s, &e);
}

void shell_step(struct server *s, struct raft_event *e)
{
	struct raft_event persisted = { .type = RAFT_EVENT_PERSISTED };
	struct uuid peers[SERVERS_MAX * 2];
	uint64_t throughs[SERVERS_MAX * 2];
	size_t count = 0;
	struct raft_update u;

	e->now = s->table->now;
	raft_step(&s->raft, e, &u);
	raft_check(&s->raft);
	put_decisions(s, &u);
	carry_out(s, e, &u);
	for (size_t i = 0; i < u.sends_count; i++) {
		const struct raft_send *what = &u.sends[i];

		send(s, what);
		if (what->message.type == RAFT_APPEND) {
			peers[count] = what->message.to;
			throughs[count++] = max_of(what->through, what->message.index);
		}
	}
	for (size_t i = 0; i < count; i++) {
		sent(s, &peers[i], throughs[i]);
	}
	if (u.persist) {
		shell_step(s, &persisted);
	}
}

void shell_deliver(struct table *t, struct letter *l)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct server *s = &t->servers[l->to];
	struct raft_message m;
	struct raft_event e = { .type = RAFT_EVENT_MESSAGE, .message = &m, .life = l->life };

	must(raft_message_decode(buf_str(&l->bytes), &arena, &m) == 0);
	if (s->live) {
		shell_step(s, &e);
	}
}

void letter_free(struct letter *l)
{
	list_del(&l->link);
	buf_fini(&l->bytes);
	free(l);
}

/* -------- starting -------- */

void shell_start(struct server *s, bool bootstrap, const struct configuration *recover)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	char address[] = { '1', '0', '.', '0', '.', '0', '.', (char)('1' + s->number), ':', '1',
		0 };
	struct raft_options options = { .id = server_id(s->number),
		.address = address,
		.trailing_logs = s->table->trailing,
		.seed = s->number + 1,
		.heartbeat_ms = 100,
		.election_ms = 500,
		.drift_percent = 5 };
	struct raft_persistent persistent = s->disk;
	struct raft_configured configured[LOG_MAX];
	struct raft_event e = { .type = RAFT_EVENT_START };
	struct trail trail;

	trail_init(&trail);
	trail_reset(&trail, s->first - 1, s->before_term);
	for (uint64_t i = s->first; i <= s->last; i++) {
		OWN_EMBEDDED(buf_fini) struct buf body = { 0 };

		trail_append(&trail, s->log[i].term);
		if (s->log[i].type == RAFT_CONFIGURATION) {
			configuration_encode(&body, &s->log[i].configuration);
			configured[e.start.configured_count++] =
				(struct raft_configured) { i, arena_str(&arena, buf_str(&body)) };
		}
	}
	e.start.persistent = &persistent;
	e.start.trail = &trail;
	e.start.configured = configured;
	e.start.bootstrap = bootstrap;
	e.start.recover = recover;
	raft_init(&s->raft, &options);
	s->live = true;
	shell_step(s, &e);
	trail_fini(&trail);
}
