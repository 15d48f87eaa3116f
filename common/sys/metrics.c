/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two intervals per row: the one being filled and the last finished one.
 */
#include "common/sys/metrics.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "common/base/str.h"

enum { INTERVAL_S = 10 };

struct interval {
	uint64_t count;
	double sum, sum_of_squares, lowest, highest;
};

struct metric {
	struct interval now, finished;
	double gauge;
	uint64_t total;
};

struct metrics {
	const struct metric_row *rows;
	size_t count;
	char *node;			/* the value of labels written node=$node */
	struct wall began, finished_at; /* of the intervals */
	struct metric items[];
};

struct metrics *metrics_new(const struct metric_row *rows, size_t count)
{
	struct metrics *m = xcalloc(1, sizeof(*m) + count * sizeof(m->items[0]));

	m->rows = rows;
	m->count = count;
	return m;
}

void metrics_free(struct metrics *m)
{
	free(m->node);
	free(m);
}

void metrics_node_set(struct metrics *m, struct str node)
{
	free(m->node);
	m->node = str_dup(node);
}

void metrics_add(struct metrics *m, size_t row, double v)
{
	struct interval *i = &m->items[row].now;

	i->lowest = i->count ? min_of(i->lowest, v) : v;
	i->highest = i->count ? max_of(i->highest, v) : v;
	i->count++;
	i->sum += v;
	i->sum_of_squares += v * v;
	m->items[row].total += m->rows[row].kind == METRIC_COUNTER ? (uint64_t)v : 1;
}

void metrics_set(struct metrics *m, size_t row, double v)
{
	m->items[row].gauge = v;
}

void metrics_tick(struct metrics *m, struct wall now)
{
	int64_t slot = now.ns / (INTERVAL_S * NS_PER_S);

	if (slot == m->began.ns / (INTERVAL_S * NS_PER_S)) {
		return;
	}
	m->finished_at = m->began;
	m->began.ns = slot * INTERVAL_S * NS_PER_S;
	for (size_t i = 0; i < m->count; i++) {
		m->items[i].finished = m->items[i].now;
		m->items[i].now = (struct interval) { 0 };
	}
}

uint64_t metrics_total(const struct metrics *m, size_t row)
{
	return m->items[row].total;
}

static void name_render(struct jsonw *w, struct str prefix, const struct metric_row *row)
{
	OWN_EMBEDDED(buf_fini) struct buf name = { 0 };

	buf_put_str(&name, prefix);
	buf_put_char(&name, '.');
	buf_put_cstr(&name, row->name);
	jsonw_put_str(w, "Name", buf_str(&name));
}

static void labels_render(struct jsonw *w, const struct metrics *m, const struct metric_row *row)
{
	struct str rest = str_of(row->label ? row->label : "");

	jsonw_keyc(w, "Labels");
	jsonw_open(w, '{');
	while (rest.n) {
		struct str value, label = str_split(rest, ',', &rest);
		struct str key = str_split(label, '=', &value);

		jsonw_key(w, key);
		jsonw_str(w, str_is(value, "$node") ? str_of(m->node) : value);
	}
	jsonw_close(w, '}');
}

static void interval_render(struct jsonw *w, const struct interval *i)
{
	double mean = i->sum / (double)i->count;
	double spread =
		i->count > 1 ? (i->sum_of_squares - i->sum * mean) / (double)(i->count - 1) : 0;
	const struct {
		const char *name;
		double v;
	} rows[] = {
		{ "Rate", i->sum / INTERVAL_S },
		{ "Sum", i->sum },
		{ "Min", i->lowest },
		{ "Max", i->highest },
		{ "Mean", mean },
		{ "Stddev", spread > 0 ? sqrt(spread) : 0 },
	};

	jsonw_put_u64(w, "Count", i->count);
	for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
		jsonw_key(w, str_of(rows[r].name));
		jsonw_double(w, rows[r].v);
	}
}

static void kind_render(
	const struct metrics *m, enum metric_kind kind, struct str prefix, struct jsonw *w)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->rows[i].kind != kind ||
			(kind != METRIC_GAUGE && m->items[i].finished.count == 0)) {
			continue;
		}
		jsonw_open(w, '{');
		name_render(w, prefix, &m->rows[i]);
		if (kind == METRIC_GAUGE) {
			jsonw_keyc(w, "Value");
			jsonw_double(w, m->items[i].gauge);
		} else {
			interval_render(w, &m->items[i].finished);
		}
		labels_render(w, m, &m->rows[i]);
		jsonw_close(w, '}');
	}
}

static void timestamp_render(struct wall t, struct jsonw *w)
{
	time_t seconds = (time_t)(t.ns / NS_PER_S);
	char text[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S +0000 UTC", &tm);
	jsonw_put_cstr(w, "Timestamp", text);
}

void metrics_render(struct metrics *m, struct str prefix, struct buf *out)
{
	static const struct {
		const char *name;
		enum metric_kind kind;
	} groups[] = { { "Gauges", METRIC_GAUGE }, { "Counters", METRIC_COUNTER },
		{ "Samples", METRIC_SAMPLE } };
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	timestamp_render(m->finished_at, &w);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		jsonw_key(&w, str_of(groups[i].name));
		jsonw_open(&w, '[');
		kind_render(m, groups[i].kind, prefix, &w);
		jsonw_close(&w, ']');
		if (groups[i].kind == METRIC_GAUGE) {
			jsonw_keyc(&w, "Points");
			jsonw_open(&w, '[');
			jsonw_close(&w, ']');
		}
	}
	jsonw_close(&w, '}');
}
