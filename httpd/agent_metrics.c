/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/agent/metrics: what the daemons of this node count, merged into one answer as if one process
 * had counted.
 */
#include "common/base/err.h"
#include "httpd/agent.h"
#include "httpd/local.h"
#include "httpd/routes.h"

struct items {
	const struct json **rows;
	uint32_t count, room;
};

static const char *const group_names[] = { "Gauges", "Points", "Counters", "Samples" };

enum { GAUGES, POINTS, COUNTERS, SAMPLES, GROUPS_COUNT };

struct gathered {
	struct str timestamp;
	struct items groups[GROUPS_COUNT];
};

static void items_add(struct exchange *x, struct items *items, const struct json *list)
{
	const struct json *item;

	for (item = list && list->type == JSON_ARRAY ? list->first : NULL; item;
		item = item->next) {
		items->rows = wire_list_room(
			&x->arena, items->rows, items->count, &items->room, sizeof(items->rows[0]));
		items->rows[items->count++] = item;
	}
}

/* By name, then by labels. */
static int item_cmp(const void *a, const void *b)
{
	const struct json *x = *(const struct json *const *)a, *y = *(const struct json *const *)b;
	OWN_EMBEDDED(buf_fini) struct buf left = { 0 }, right = { 0 };
	int r = str_cmp(json_find_text(x, "Name"), json_find_text(y, "Name"));

	if (r) {
		return r;
	}
	json_render(&left, json_find(x, "Labels"));
	json_render(&right, json_find(y, "Labels"));
	return str_cmp(buf_str(&left), buf_str(&right));
}

static void gather(struct exchange *x, const struct local_answers *answers, struct gathered *out)
{
	for (size_t i = 0; i < LOCAL_DAEMONS_COUNT; i++) {
		const struct json *metrics;
		struct json *answer;
		struct str timestamp;

		if (!answers->text[i].n || json_parse(&x->arena, answers->text[i], &answer, NULL)) {
			continue;
		}
		metrics = json_find(answer, "metrics");
		timestamp = json_find_text(metrics, "Timestamp");
		if (str_cmp(timestamp, out->timestamp) > 0) {
			out->timestamp = timestamp;
		}
		for (size_t g = 0; g < GROUPS_COUNT; g++) {
			items_add(x, &out->groups[g], json_find(metrics, group_names[g]));
		}
	}
	for (size_t g = 0; g < GROUPS_COUNT; g++) {
		if (out->groups[g].count) {
			qsort(out->groups[g].rows, out->groups[g].count,
				sizeof(out->groups[g].rows[0]), item_cmp);
		}
	}
}

static void json_answer(struct exchange *x, const struct gathered *all)
{
	struct buf *body = exchange_body(x);
	struct jsonw w = jsonw_of(body);

	jsonw_open(&w, '{');
	jsonw_put_str(&w, "Timestamp", all->timestamp);
	for (size_t g = 0; g < GROUPS_COUNT; g++) {
		jsonw_key(&w, str_of(group_names[g]));
		jsonw_open(&w, '[');
		for (uint32_t i = 0; i < all->groups[g].count; i++) {
			OWN_EMBEDDED(buf_fini) struct buf item = { 0 };

			json_render(&item, all->groups[g].rows[i]);
			jsonw_raw(&w, buf_str(&item));
		}
		jsonw_close(&w, ']');
	}
	jsonw_close(&w, '}');
	answer_json(x, 200);
}

/* ---- Prometheus' text format ---- */

static void name_put(struct buf *out, struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		buf_put_char(
			out, c == '.' || c == '-' || c == ' ' || c == '=' || c == '/' ? '_' : c);
	}
}

static void labels_put(struct buf *out, const struct json *labels)
{
	const struct json *label;
	char before = '{';

	for (label = labels && labels->type == JSON_OBJECT ? labels->first : NULL; label;
		label = label->next) {
		buf_put_char(out, before);
		name_put(out, label->key);
		buf_put_char(out, '=');
		json_put_string(out, label->text);
		before = ',';
	}
	if (before == ',') {
		buf_put_char(out, '}');
	}
}

static void line_put(
	struct buf *out, const struct json *item, const char *suffix, const char *member)
{
	const struct json *value = json_find(item, member);

	name_put(out, json_find_text(item, "Name"));
	buf_put_cstr(out, suffix);
	labels_put(out, json_find(item, "Labels"));
	buf_put_char(out, ' ');
	buf_put_str(out, value ? value->text : STR("0"));
	buf_put_char(out, '\n');
}

static void type_put(struct buf *out, struct str name, const char *type)
{
	buf_put_cstr(out, "# HELP ");
	name_put(out, name);
	buf_put_char(out, ' ');
	name_put(out, name);
	buf_put_cstr(out, "\n# TYPE ");
	name_put(out, name);
	buf_printf(out, " %s\n", type);
}

static void group_put(struct buf *out, const struct items *items, int group)
{
	static const char *const types[] = { [GAUGES] = "gauge",
		[POINTS] = "gauge",
		[COUNTERS] = "counter",
		[SAMPLES] = "summary" };
	struct str last = STR_NONE;

	for (uint32_t i = 0; i < items->count; i++) {
		struct str name = json_find_text(items->rows[i], "Name");

		if (!str_eq(name, last)) {
			type_put(out, name, types[group]);
			last = name;
		}
		if (group == SAMPLES) {
			line_put(out, items->rows[i], "_sum", "Sum");
			line_put(out, items->rows[i], "_count", "Count");
		} else {
			line_put(out, items->rows[i], "", group == COUNTERS ? "Sum" : "Value");
		}
	}
}

static bool wants_prometheus(struct exchange *x)
{
	struct str accept = request_header(&x->request, "Accept");

	return str_is(request_param(&x->request, "format"), "prometheus") ||
	       str_find_str(accept, STR("application/openmetrics-text")) >= 0 ||
	       str_find_str(accept, STR("text/plain;version=0.4.0")) >= 0;
}

static void on_answers(struct exchange *x, const struct local_answers *answers)
{
	struct gathered all = { .timestamp = STR("") };

	gather(x, answers, &all);
	if (!wants_prometheus(x)) {
		json_answer(x, &all);
		return;
	}
	for (int g = 0; g < GROUPS_COUNT; g++) {
		group_put(exchange_body(x), &all.groups[g], g);
	}
	answer_raw(x, 200, STR("text/plain; version=0.0.4; charset=utf-8"));
}

void handle_agent_metrics(struct exchange *x)
{
	if (wants_prometheus(x) && x->httpd->conf->telemetry.prometheus_retention_time_ns <= 0) {
		answer_text(x, 415,
			STR("Prometheus is not enabled since its retention time is not positive"));
		return;
	}
	local_ask(x, LOCAL_ALL, STR("{\"cmd\":\"metrics\"}"), on_answers);
}
