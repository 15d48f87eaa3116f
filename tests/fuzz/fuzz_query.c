/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of prepared queries, and the texts of templates: anything is taken or refused with words;
 * what was taken renders as a body that says the same; a template that was found good can be filled
 * in for its own name.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/err.h"
#include "common/base/template.h"
#include "common/msg/query.h"
#include "httpd/query_body.h"

static bool variable(void *arg, struct str name, struct str *value_out)
{
	*value_out = name;
	return name.n % 2 == 0;
}

static struct str match(void *arg, int64_t number)
{
	return number > 0 ? STR("7") : STR("");
}

static void text_try(struct str text)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	const struct template_scope scope = { variable, match, NULL };
	bool well_formed = !template_check(text, NULL);
	struct str out;

	if (template_render(text, &scope, &arena, &out, &why)) {
		must(why.n > 0);
	} else {
		must(well_formed);
	}
}

static void template_try(const struct query_def *q, struct arena *arena)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct query_def filled;

	if (query_template_check(q, &why)) {
		must(why.n > 0);
	} else {
		must(!query_template_fill(q, q->name, arena, &filled, &why));
		(void)query_template_fill(q, STR("geo-db-1"), arena, &filled, &why);
	}
}

/* Bytes that are not UTF-8 are escaped the first time and plain from then on. */
static void body_try(struct arena *arena, const struct json *v, bool is_utf8)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf first = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf second = { 0 };
	struct query_def q, again;
	struct json *parsed;
	struct str id;

	if (query_body(arena, v, &q, &id, &why)) {
		must(why.n > 0);
		return;
	}
	if (query_check(&q, &why)) {
		must(why.n > 0);
	}
	if (query_is_template(&q)) {
		template_try(&q, arena);
	}
	query_json(&first, &q, 1, 2);
	must(json_parse(arena, buf_str(&first), &parsed, NULL) == 0);
	must(query_body(arena, parsed, &again, &id, &why) == 0);
	query_json(&second, &again, 1, 2);
	must(str_eq(buf_str(&first), buf_str(&second)) || !is_utf8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct str input = str_n(data, size);
	struct json *v;

	text_try(input);
	if (!json_parse(&arena, input, &v, NULL)) {
		body_try(&arena, v, utf8_valid(input));
	}
	return 0;
}
