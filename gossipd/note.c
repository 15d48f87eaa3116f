/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens in a pool, row by row: the log, a metric, and who is told. Other members can cause
 * these lines, so at most LINES_MAX of them are written in a second.
 */
#include "gossipd/gossipd.h"

enum { LINES_MAX = 50, NO_METRIC = METRICS_COUNT };

static const struct {
	const char *event;
	enum log_level level; /* from warnings on with their text */
	int metric;
} rows[] = {
	[POOL_NOTE_MEMBER_JOIN] = { "member-join", LOG_LEVEL_INFO, METRIC_MEMBER_JOIN },
	[POOL_NOTE_MEMBER_LEAVE] = { "member-leave", LOG_LEVEL_INFO, METRIC_MEMBER_LEFT },
	[POOL_NOTE_MEMBER_FAILED] = { "member-failed", LOG_LEVEL_NOTICE, METRIC_MEMBER_FAILED },
	[POOL_NOTE_MEMBER_UPDATE] = { "member-update", LOG_LEVEL_INFO, METRIC_MEMBER_UPDATE },
	[POOL_NOTE_MEMBER_REAP] = { "member-reap", LOG_LEVEL_INFO, NO_METRIC },
	[POOL_NOTE_SUSPECT] = { "member-suspect", LOG_LEVEL_INFO, METRIC_SUSPECT },
	[POOL_NOTE_REFUTED] = { "refuted", LOG_LEVEL_WARNING, METRIC_REFUTED },
	[POOL_NOTE_CONFLICT] = { "name-conflict", LOG_LEVEL_WARNING, NO_METRIC },
	[POOL_NOTE_REFUSED] = { "member-refused", LOG_LEVEL_WARNING, NO_METRIC },
	[POOL_NOTE_MERGE_FAILED] = { "merge-failed", LOG_LEVEL_WARNING, NO_METRIC },
	[POOL_NOTE_LEFT] = { "left", LOG_LEVEL_NOTICE, NO_METRIC },
	[POOL_NOTE_NAME_LOST] = { "name-lost", LOG_LEVEL_WARNING, NO_METRIC },
	[POOL_NOTE_NAME_TAKEN] = { "name-taken", LOG_LEVEL_ERROR, NO_METRIC },
};

static void log_note(struct wire *w, const struct pool_note *note)
{
	struct mono now = loop_now(w->gossipd->daemon->loop);
	const char *pool = w->name == GOSSIP_WAN ? "wan" : "lan";
	enum log_level level = rows[note->type].level;

	if (mono_diff_ms(now, w->notes_second) >= 1000) {
		w->notes_second = now;
		w->notes_lines = 0;
	}
	if (w->notes_lines++ >= LINES_MAX) {
		return;
	}
	if (level >= LOG_LEVEL_WARNING) {
		log_at(level, rows[note->type].event,
			"pool=%s name=\"" STR_FMT "\" text=\"" STR_FMT "\"", pool,
			STR_ARG(note->name), STR_ARG(note->payload));
	} else {
		log_at(level, rows[note->type].event, "pool=%s name=\"" STR_FMT "\"", pool,
			STR_ARG(note->name));
	}
}

/* Consul's events are of the LAN. */
static void event_arrived(struct wire *w, const struct pool_note *note)
{
	struct gossip_event event = { .type = GOSSIP_EVENT_ARRIVED,
		.name = note->name,
		.payload = note->payload,
		.ltime = note->ltime };
	struct gossip_update update;

	if (w->name == GOSSIP_LAN) {
		gossipd_step(w->gossipd, &event, &update);
	}
}

/* Who is reaped is not there any more to be asked, and an update may have made a server of a
 * client. */
static bool is_server_news(const struct wire *w, const struct pool_note *note)
{
	const struct pool_node *n;

	if (w->name != GOSSIP_LAN) {
		return false;
	}
	switch (note->type) {
	case POOL_NOTE_MEMBER_JOIN:
	case POOL_NOTE_MEMBER_LEAVE:
	case POOL_NOTE_MEMBER_FAILED:
		n = pool_find(&w->pool, note->name);
		return n && node_is_server(n);
	case POOL_NOTE_MEMBER_UPDATE:
	case POOL_NOTE_MEMBER_REAP:
		return true;
	default:
		return false;
	}
}

static void note_handle(struct wire *w, const struct pool_note *note)
{
	struct gossipd *g = w->gossipd;
	bool server_news = is_server_news(w, note);

	if (note->type < ARRAY_SIZE(rows) && rows[note->type].event) {
		log_note(w, note);
		if (rows[note->type].metric != NO_METRIC) {
			metrics_add(g->daemon->metrics, (size_t)rows[note->type].metric, 1);
		}
	}
	if (server_news) {
		holds_server_news(g);
	}
	switch (note->type) {
	case POOL_NOTE_EVENT:
		event_arrived(w, note);
		break;
	case POOL_NOTE_JOINED:
		joins_on_note(w, note->id, note->payload);
		break;
	case POOL_NOTE_LEFT:
		w->left = true;
		leave_on_left(g);
		break;
	case POOL_NOTE_MEMBER_JOIN:
		if (server_news) {
			loop_timer_in(&g->flood_timer, 0);
		}
		break;
	default:
		calls_on_note(w, note);
		break;
	}
}

static void refusals_count(struct wire *w)
{
	uint64_t refused = 0;

	for (int i = 0; i < POOL_REFUSALS; i++) {
		refused += w->pool.refused[i];
	}
	metrics_add(
		w->gossipd->daemon->metrics, METRIC_REFUSED, (double)(refused - w->refused_seen));
	w->refused_seen = refused;
}

void notes_handle(struct wire *w, const struct pool_update *u)
{
	struct metrics *m = w->gossipd->daemon->metrics;

	for (size_t i = 0; i < u->notes_count; i++) {
		note_handle(w, &u->notes[i]);
	}
	if (u->members_changed) {
		holds_wake_soon(w->gossipd);
	}
	metrics_set(m, METRIC_HEALTH_SCORE, w->pool.health);
	refusals_count(w);
}
