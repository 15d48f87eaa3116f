/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP responses as checkd reads them: the outcome does not depend on how the bytes arrive.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/response.h"
#include "common/base/err.h"

struct told {
	struct buf body, fields;
};

static void on_body(void *arg, struct str piece)
{
	buf_put_str(&((struct told *)arg)->body, piece);
}

static void on_field(void *arg, struct str name, struct str value)
{
	struct buf *fields = &((struct told *)arg)->fields;

	must(str_find(name, '\n') < 0 && str_find(value, '\n') < 0); /* they become lines again */
	buf_put_str(fields, name);
	buf_put_char(fields, ':');
	buf_put_str(fields, value);
	buf_put_char(fields, '\n');
}

static void told_fini(struct told *t)
{
	buf_fini(&t->body);
	buf_fini(&t->fields);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(told_fini) struct told whole_told = { 0 }, parts_told = { 0 };
	struct response whole, parts;
	size_t whole_used = 0, parts_used = 0;
	int r_whole, r_parts = ST_AGAIN;

	response_init(&whole, on_body, &whole_told);
	response_init(&parts, on_body, &parts_told);
	whole.on_field = parts.on_field = on_field;
	r_whole = response_feed(&whole, str_n(data, size), &whole_used);
	while (parts_used < size && r_parts == ST_AGAIN) {
		size_t used = 0;

		r_parts = response_feed(&parts, str_n(data + parts_used, 1), &used);
		parts_used += used;
	}
	must(r_whole == r_parts);
	must(str_eq(buf_str(&whole_told.body), buf_str(&parts_told.body)));
	must(str_eq(buf_str(&whole_told.fields), buf_str(&parts_told.fields)));
	if (r_whole == 0) {
		must(whole_used == parts_used);
	}
	must(response_end(&whole) == response_end(&parts));
	response_fini(&whole);
	response_fini(&parts);
	return 0;
}
