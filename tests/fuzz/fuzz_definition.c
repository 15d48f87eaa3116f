/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions of services and checks in both spellings, and the catalogue's bodies: any JSON is
 * taken or refused with words; what a definition renders as is taken again and says the same.
 */
#include "tests/fuzz/fuzz.h"

#include "common/base/err.h"
#include "common/client/definition.h"
#include "httpd/catalog_body.h"

/* Bytes that are not UTF-8 are escaped the first time and plain from then on. */
static void service_try(
	struct arena *arena, enum definition_form form, const struct json *v, bool is_utf8)
{
	OWN_EMBEDDED(buf_fini) struct buf first = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf second = { 0 };
	struct jsonw w = jsonw_of(&first), w2 = jsonw_of(&second);
	struct service_definition d, again;
	struct result error = { 0 };
	struct json *parsed;

	if (definition_service(arena, form, v, &d, &error)) {
		must(error.text.n > 0);
		return;
	}
	definition_service_render(&w, &d);
	must(json_parse(arena, buf_str(&first), &parsed, NULL) == 0);
	must(definition_service(arena, DEFINITION_API, parsed, &again, &error) == 0);
	definition_service_render(&w2, &again);
	must(str_eq(buf_str(&first), buf_str(&second)) || !is_utf8);
}

static void check_try(struct arena *arena, enum definition_form form, const struct json *v)
{
	struct result error = { 0 };
	struct check_def c;

	if (definition_check(arena, form, v, &c, &error)) {
		must(error.text.n > 0);
		return;
	}
	definition_check_type(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct cmd_deregister deregister;
	struct cmd_register registration;
	struct str datacenter;
	struct json *v;

	if (json_parse(&arena, str_n(data, size), &v, NULL)) {
		return 0;
	}
	service_try(&arena, DEFINITION_API, v, utf8_valid(str_n(data, size)));
	service_try(&arena, DEFINITION_FILE, v, utf8_valid(str_n(data, size)));
	check_try(&arena, DEFINITION_API, v);
	check_try(&arena, DEFINITION_FILE, v);
	if (catalog_body_register(&arena, v, &registration, &why)) {
		must(why.n > 0);
	}
	buf_clear(&why);
	if (catalog_body_deregister(&arena, v, &deregister, &datacenter, &why)) {
		must(why.n > 0);
	}
	return 0;
}
