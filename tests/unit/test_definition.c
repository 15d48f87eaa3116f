/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions of services and checks: texts and defaults as the real program gives them.
 */
#include <check.h>

#include "common/base/err.h"
#include "common/client/definition.h"
#include "common/client/definition_rows.h"
#include "common/sys/conf_private.h"

struct refusal {
	const char *body;
	enum result_kind kind;
	const char *text;
};

static const struct refusal service_refusals[] = {
	{ "{\"name\":\"x\",\"ID\":1}", RESULT_BAD,
		"Request decode failed: json: cannot unmarshal number into Go struct field .ID of "
		"type string" },
	{ "{\"name\":\"x\",\"Port\":\"1\"}", RESULT_BAD,
		"Request decode failed: json: cannot unmarshal string into Go struct field .Port "
		"of type int" },
	{ "{\"name\":\"x\",\"Port\":1.5}", RESULT_BAD,
		"Request decode failed: json: cannot unmarshal number 1.5 into Go struct field "
		".Port of type int" },
	{ "{\"name\":\"x\",\"Tags\":\"1\"}", RESULT_BAD,
		"Request decode failed: json: cannot unmarshal string into Go struct field .Tags "
		"of type []string" },
	{ "{\"name\":\"x\",\"Tags\":[1]}", RESULT_BAD,
		"Request decode failed: json: cannot unmarshal number into Go struct field .Tags "
		"of type string" },
	{ "{\"name\":\"x\",\"Meta\":{\"a\":1}}", RESULT_BAD,
		"Request decode failed: json: cannot unmarshal number into Go struct field .Meta "
		"of type string" },
	{ "{\"name\":\"x\",\"Weights\":{\"Passing\":\"1\"}}", RESULT_BAD,
		"Request decode failed: json: cannot unmarshal string into Go struct field "
		"Weights.Weights.Passing of type int" },
	{ "{\"name\":\"x\",\"Weights\":{\"passing\":0}}", RESULT_BAD,
		"Invalid Weights: Passing must be greater than 0" },
	{ "{\"name\":\"x\",\"Weights\":{\"warning\":70000,\"Passing\":70000}}", RESULT_BAD,
		"Invalid Weights: DNS Weight must be between 0 and 65535" },
	{ "{\"name\":\"x\",\"Check\":{\"ID\":\"x\",\"TTL\":\"1s\"}}", RESULT_BAD,
		"Request decode failed: json: unknown field \"ID\"" },
	{ "{\"name\":\"x\",\"Check\":{\"TTL\":\"1\"}}", RESULT_BAD,
		"Request decode failed: time: missing unit in duration \"1\"" },
	{ "{\"name\":\"x\",\"Checks\":{}}", RESULT_BAD,
		"Request decode failed: json: cannot unmarshal object into Go struct field .Checks "
		"of type structs.CheckTypes" },
	{ "{\"name\":\"x\",\"Checks\":[{\"HTTP\":\"x\"}]}", RESULT_BAD,
		"Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks" },
	{ "{\"name\":\"x\",\"Checks\":[{\"HTTP\":\"x\",\"Interval\":\"1s\",\"Status\":\"foo\"}]}",
		RESULT_BAD, "Status for checks must 'passing', 'warning', 'critical'" },
	{ "{\"name\":\"x\",\"TaggedAddresses\":{\"lan\":{\"Address\":1}}}", RESULT_BAD,
		"Request decode failed: json: cannot unmarshal number into Go struct field "
		"ServiceAddress.TaggedAddresses.Address of type string" },
	{ "{\"name\":\"x\",\"TaggedAddresses\":{\"lan_ipv4\":{\"Address\":\"foo\"}}}", RESULT_ERROR,
		"Service tagged address \"lan_ipv4\" must be a valid ipv4 address" },
	{ "{\"name\":\"x\",\"TaggedAddresses\":{\"lan_ipv6\":{\"Address\":\"1.2.3.4\"}}}",
		RESULT_ERROR, "Service tagged address \"lan_ipv6\" must be a valid ipv6 address" },
	{ "{\"name\":\"x\",\"Meta\":{\"a b\":\"1\"}}", RESULT_BAD,
		"Invalid Service Meta: Couldn't load metadata pair ('a b', '1'): Key contains "
		"invalid characters" },
	{ "{\"name\":\"x\",\"Meta\":{\"\":\"1\"}}", RESULT_BAD,
		"Invalid Service Meta: Couldn't load metadata pair ('', '1'): Key cannot be "
		"blank" },
	{ "{\"name\":\"x\",\"Meta\":{\"consul-x\":\"v\"}}", RESULT_BAD,
		"Invalid Service Meta: Couldn't load metadata pair ('consul-x', 'v'): "
		"Key prefix 'consul-' is reserved for internal use" },
	{ "{\"name\":\"x\",\"Address\":\"0.0.0.0\"}", RESULT_BAD, "Invalid service address" },
	{ "{\"name\":\"x\",\"Bogus\":1}", RESULT_BAD,
		"Request decode failed: json: unknown field \"Bogus\"" },
	{ "{\"name\":\"x\\u0000y\"}", RESULT_BAD, "Invalid service name or ID: holds a zero byte" },
	{ "{}", RESULT_BAD, "Missing service name" },
	{ "null", RESULT_BAD, "Missing service name" },
};

static const struct refusal check_refusals[] = {
	{ "{\"name\":\"x\"}", RESULT_BAD, "Invalid check: TTL must be > 0 for TTL checks" },
	{ "{\"ttl\":\"10s\"}", RESULT_BAD, "Missing check name" },
	{ "{\"name\":\"x\",\"ttl\":\"10s\",\"status\":\"foo\"}", RESULT_BAD, "Bad check status" },
	{ "{\"name\":\"x\",\"ttl\":\"10s\",\"CheckID\":\"foo\"}", RESULT_BAD,
		"Request decode failed: json: unknown field \"CheckID\"" },
	{ "{\"name\":\"x\",\"ttl\":\"10s\",\"Interval\":\"10s\"}", RESULT_BAD,
		"Invalid check: Interval and TTL cannot both be specified" },
	{ "{\"name\":\"x\",\"script\":\"10s\",\"Interval\":\"10s\"}", RESULT_BAD,
		"Request decode failed: json: unknown field \"script\"" },
	{ "{\"name\":\"x\",\"ttl\":\"10s\",\"OutputMaxSize\":-1}", RESULT_BAD,
		"Invalid check: MaxOutputMaxSize must be positive" },
	{ "{\"name\":\"x\",\"AliasNode\":\"n\",\"TTL\":\"10s\"}", RESULT_BAD,
		"Invalid check: TTL must be not be set for Alias checks" },
	{ "{\"name\":\"x\",\"AliasNode\":\"n\",\"TCP\":\"t\",\"Interval\":\"10s\"}", RESULT_BAD,
		"Invalid check: Interval cannot be set for Alias checks" },
	{ "{\"name\":\"x\",\"HTTP\":\"u\",\"TTL\":\"10s\"}", RESULT_BAD,
		"Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks" },
	{ "{\"name\":\"x\",\"Interval\":\"5x\",\"args\":[\"x\"]}", RESULT_BAD,
		"Request decode failed: time: unknown unit \"x\" in duration \"5x\"" },
};

static const struct refusal file_refusals[] = {
	{ "{\"Name\":\"x\",\"EnableTagOverride\":true}", RESULT_BAD,
		"1 error occurred:\n\t* invalid config key service.EnableTagOverride\n\n" },
	{ "{\"name\":\"x\",\"bogus\":1,\"foo\":{\"a\":1}}", RESULT_BAD,
		"2 errors occurred:\n\t* invalid config key service.bogus\n\t* invalid config key "
		"service.foo\n\n" },
	{ "{\"name\":\"x\",\"checks\":[{\"CheckID\":\"a\"}]}", RESULT_BAD,
		"1 error occurred:\n\t* invalid config key service.checks[0].CheckID\n\n" },
	{ "{\"name\":\"x\",\"port\":\"80\",\"tags\":\"a\"}", RESULT_BAD,
		"2 error(s) decoding:\n\n* 'service.port' expected type 'int', got unconvertible "
		"type 'string'\n"
		"* 'service.tags': source data must be an array or slice, got string" },
	{ "{\"name\":\"x\",\"meta\":1,\"check\":{\"ttl\":1}}", RESULT_BAD,
		"2 error(s) decoding:\n\n* 'service.meta' expected a map, got 'float64'\n"
		"* 'service.check.ttl' expected type 'string', got unconvertible type 'float64'" },
	{ "{\"name\":\"x\",\"check\":{\"id\":\"c\",\"interval\":\"abc\"}}", RESULT_BAD,
		"1 error occurred:\n\t* check[c].interval: invalid duration: \"abc\": time: "
		"invalid duration \"abc\"\n\n" },
};

static struct json *parsed(struct arena *arena, const char *text)
{
	struct json *v = NULL;

	ck_assert_int_eq(json_parse(arena, str_of(text), &v, NULL), 0);
	return v;
}

static void refusal_expect(const struct refusal *row, int r, const struct result *error)
{
	ck_assert_msg(r == ST_INVALID, "%s was accepted", row->body);
	ck_assert_msg(str_is(error->text, row->text), "%s:\n" STR_FMT "\n%s", row->body,
		STR_ARG(error->text), row->text);
	ck_assert_int_eq(error->kind, row->kind);
}

START_TEST(test_service_refusals)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct service_definition d;
	struct result error;

	refusal_expect(&service_refusals[_i],
		definition_service(&arena, DEFINITION_API,
			parsed(&arena, service_refusals[_i].body), &d, &error),
		&error);
}
END_TEST

START_TEST(test_check_refusals)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct check_def c;
	struct result error;

	refusal_expect(&check_refusals[_i],
		definition_check(&arena, DEFINITION_API, parsed(&arena, check_refusals[_i].body),
			&c, &error),
		&error);
}
END_TEST

START_TEST(test_file_refusals)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct service_definition d;
	struct result error;

	refusal_expect(&file_refusals[_i],
		definition_service(&arena, DEFINITION_FILE, parsed(&arena, file_refusals[_i].body),
			&d, &error),
		&error);
}
END_TEST

START_TEST(test_service_defaults)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct service_definition d;
	struct result error;

	ck_assert_int_eq(
		definition_service(&arena, DEFINITION_API,
			parsed(&arena, "{\"Name\":\"web\",\"Address\":\"10.0.0.9\",\"Port\":80,"
				       "\"TaggedAddresses\":{\"wan\":{\"Address\":\"1.1.1.1\","
				       "\"Port\":90}},"
				       "\"Check\":{\"TTL\":\"15s\"},\"Checks\":[{\"script_args\":["
				       "\"true\"],"
				       "\"Interval\":\"2s\",\"header\":{\"A\":[\"b\"]}}]}"),
			&d, &error),
		0);
	ck_assert(str_is(d.service.id, "web"));
	ck_assert_int_eq(d.service.weight_passing, 1);
	ck_assert_int_eq(d.service.weight_warning, 1);
	ck_assert_uint_eq(d.service.tagged_addresses.count, 3);
	ck_assert(str_is(d.service.tagged_addresses.items[0].name, "lan_ipv4"));
	ck_assert_int_eq(d.service.tagged_addresses.items[0].port, 80);
	ck_assert(str_is(d.service.tagged_addresses.items[1].name, "wan"));
	ck_assert_uint_eq(d.checks_count, 2);
	ck_assert_int_eq(d.checks[0].ttl_ns, 15 * 1000000000LL);
	ck_assert(str_is(d.checks[1].args.items[0], "true"));
	ck_assert(str_is(d.checks[1].header_json, "{\"A\":[\"b\"]}"));
	ck_assert(definition_check_is_script(&d.checks[1]));
	ck_assert_str_eq(definition_check_type(&d.checks[0]), "ttl");
	ck_assert_str_eq(definition_check_type(&d.checks[1]), "script");
}
END_TEST

/* What `muster services register FILE` does: read the file's spelling, send the other, and nothing
 * is lost. */
START_TEST(test_file_to_api)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 }, again = { 0 };
	struct jsonw w = jsonw_of(&body), w2 = jsonw_of(&again);
	struct service_definition d, back;
	struct result error;

	ck_assert_int_eq(definition_service(&arena, DEFINITION_FILE,
				 parsed(&arena, "{\"id\":\"w1\",\"name\":\"web\",\"tags\":[\"a\"],"
						"\"port\":80,\"meta\":{\"k\":\"v\"},"
						"\"weights\":{\"passing\":3},\"enable_tag_"
						"override\":true,\"token\":\"t\","
						"\"checks\":[{\"id\":\"c\",\"http\":\"http://"
						"x\",\"interval\":\"10s\","
						"\"tls_skip_verify\":true,\"deregister_critical_"
						"service_after\":\"90m\"}]}"),
				 &d, &error),
		0);
	ck_assert_int_eq(d.service.weight_warning, 1);
	definition_service_render(&w, &d);
	ck_assert_int_eq(definition_service(&arena, DEFINITION_API, parsed(&arena, buf_cstr(&body)),
				 &back, &error),
		0);
	definition_service_render(&w2, &back);
	ck_assert_str_eq(buf_cstr(&body), buf_cstr(&again));
	ck_assert_str_eq(buf_cstr(&body),
		"{\"ID\":\"w1\",\"Name\":\"web\",\"Tags\":[\"a\"],\"Port\":80,"
		"\"EnableTagOverride\":true,\"Meta\":{\"k\":\"v\"},"
		"\"Weights\":{\"Passing\":3,\"Warning\":1},\"Checks\":[{\"CheckID\":\"c\",\"HTTP\":"
		"\"http://x\",\"Interval\":\"10s\","
		"\"TLSSkipVerify\":true,\"DeregisterCriticalServiceAfter\":\"1h30m0s\"}],\"Token\":"
		"\"t\"}");
}
END_TEST

static bool rows_have(const struct bind_object *rows, const char *name)
{
	for (uint32_t i = 0; i < rows->fields_count; i++) {
		if (str_is(str_of(rows->fields[i].name), name)) {
			return true;
		}
	}
	return false;
}

/* What the loader of configuration files lets pass is what can be registered: it alone knows the
 * file and the line. */
START_TEST(test_keys_are_those_of_the_loader)
{
	static const struct {
		const struct conf_schema *loader;
		const struct bind_object *rows;
	} tables[] = { { &conf_check_schema, &check_file_rows },
		{ &conf_service_schema, &service_file_rows } };

	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		const struct bind_object *rows = tables[t].rows;
		const struct conf_schema *loader = tables[t].loader;

		for (size_t i = 0; i < loader->keys_count; i++) {
			ck_assert_msg(
				rows_have(rows, loader->keys[i].name), "%s", loader->keys[i].name);
		}
		for (uint32_t i = 0; i < rows->fields_count; i++) {
			ck_assert_msg(conf_key_find(loader, str_of(rows->fields[i].name)), "%s",
				rows->fields[i].name);
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("definition");
	TCase *t = tcase_create("definition");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, test_service_refusals, 0, ARRAY_SIZE(service_refusals));
	tcase_add_loop_test(t, test_check_refusals, 0, ARRAY_SIZE(check_refusals));
	tcase_add_loop_test(t, test_file_refusals, 0, ARRAY_SIZE(file_refusals));
	tcase_add_test(t, test_service_defaults);
	tcase_add_test(t, test_file_to_api);
	tcase_add_test(t, test_keys_are_those_of_the_loader);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
