/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies of catalog/register and catalog/deregister: refusals in Go's words, defaults, definitions
 * of checks.
 */
#include <check.h>

#include "common/base/err.h"
#include "httpd/catalog_body.h"

static const struct {
	const char *body, *text;
} refusals[] = {
	{ "{\"Node\":1}", "json: cannot unmarshal number into Go struct field RegisterRequest.Node "
			  "of type string" },
	{ "{\"Bogus\":1}", "json: unknown field \"Bogus\"" },
	{ "{\"Service\":{\"Service\":1}}", "json: cannot unmarshal number into Go struct field "
					   "NodeService.Service.Service of type "
					   "string" },
	{ "{\"Service\":{\"enable_tag_override\":true}}",
		"json: unknown field \"enable_tag_override\"" },
	{ "{\"Service\":{\"Weights\":{\"Passing\":\"s\"}}}",
		"json: cannot unmarshal string into Go struct field "
		"Weights.Service.Weights.Passing of "
		"type int" },
	{ "{\"Service\":{\"TaggedAddresses\":{\"a\":{\"Address\":1}}}}",
		"json: cannot unmarshal number into Go struct field "
		"ServiceAddress.Service.TaggedAddresses.Address of type string" },
	{ "{\"Check\":{\"Name\":1}}", "json: cannot unmarshal number into Go struct field "
				      "HealthCheck.Check.Name of type string" },
	{ "{\"Check\":{\"Definition\":{\"Interval\":\"x\"}}}", "time: invalid duration \"x\"" },
	{ "{\"Check\":[]}",
		"json: cannot unmarshal array into Go struct field RegisterRequest.Check of type "
		"structs.HealthCheck" },
	{ "{\"Checks\":{}}",
		"json: cannot unmarshal object into Go struct field RegisterRequest.Checks of type "
		"structs.HealthChecks" },
	{ "{\"NodeMeta\":{\"a\":1}}", "json: cannot unmarshal number into Go struct field "
				      "RegisterRequest.NodeMeta of type "
				      "string" },
};

static struct json *parsed(struct arena *arena, const char *text)
{
	struct json *v = NULL;

	ck_assert_int_eq(json_parse(arena, str_of(text), &v, NULL), 0);
	return v;
}

START_TEST(test_refusals)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct cmd_register out;

	ck_assert_int_eq(
		catalog_body_register(&arena, parsed(&arena, refusals[_i].body), &out, &why),
		ST_INVALID);
	ck_assert_str_eq(buf_cstr(&why), refusals[_i].text);
}
END_TEST

START_TEST(test_defaults)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct cmd_register out;

	ck_assert_int_eq(
		catalog_body_register(&arena,
			parsed(&arena,
				"{\"node\":\"e\",\"Address\":\"1.1.1.1\",\"Service\":{\"Service\":"
				"\"web\"},\"Check\":{\"Name\":\"c\"},\"Checks\":[{\"CheckID\":"
				"\"d\","
				"\"Node\":\"f\"}]}"),
			&out, &why),
		0);
	ck_assert(out.has_service);
	ck_assert(str_is(out.service.id, "web"));
	ck_assert_int_eq(out.service.weight_passing, 1);
	ck_assert_int_eq(out.service.weight_warning, 1);
	ck_assert(!out.service.tags.present);
	ck_assert_uint_eq(out.checks.count, 2);
	ck_assert(str_is(out.checks.items[0].node, "f"));
	ck_assert(str_is(out.checks.items[1].check_id, "c"));
	ck_assert(str_is(out.checks.items[1].node, "e"));
	ck_assert(str_is(out.checks.items[1].definition_json, "{}"));
}
END_TEST

static const struct {
	const char *definition, *stored, *type;
} definitions[] = {
	{ "{\"TCP\":\"x\"}", "{\"TCP\":\"x\"}", "" },
	{ "{\"TTL\":\"5s\"}", "{\"TTL\":5000000000}", "ttl" },
	{ "{\"TCP\":\"x\",\"Interval\":\"1s\"}", "{\"Interval\":\"1s\",\"TCP\":\"x\"}", "tcp" },
	{ "{\"ScriptArgs\":[\"x\"]}", "{\"ScriptArgs\":[\"x\"]}", "script" },
	{ "{\"DockerContainerID\":\"x\",\"ScriptArgs\":[\"x\"]}",
		"{\"ScriptArgs\":[\"x\"],\"DockerContainerID\":\"x\"}", "script" },
	{ "{\"AliasNode\":\"x\"}", "{\"AliasNode\":\"x\"}", "alias" },
	{ "{\"Bogus\":1,\"TTL\":5,\"Interval\":\"1m\",\"HTTP\":\"<x>\",\"Header\":{\"a\":[\"b\"]},"
	  "\"TCP\":\"x\","
	  "\"OutputMaxSize\":5,\"ScriptArgs\":[\"a\"],\"TLSSkipVerify\":true,"
	  "\"DeregisterCriticalServiceAfter\":\"10s\",\"AliasNode\":\"x\"}",
		"{\"Interval\":\"1m0s\",\"OutputMaxSize\":5,\"DeregisterCriticalServiceAfter\":"
		"\"10s\",\"HTTP\":"
		"\"\\u003cx\\u003e\",\"TLSSkipVerify\":true,\"Header\":{\"a\":[\"b\"]},\"TCP\":"
		"\"x\","
		"\"ScriptArgs\":[\"a\"],\"AliasNode\":\"x\",\"TTL\":5}",
		"http" },
};

START_TEST(test_definitions)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	const char *type;
	struct str json;

	ck_assert_int_eq(catalog_body_definition(&arena, parsed(&arena, definitions[_i].definition),
				 &json, &type, &why),
		0);
	ck_assert_str_eq(json.p, definitions[_i].stored);
	ck_assert_str_eq(type, definitions[_i].type);
}
END_TEST

START_TEST(test_deregister)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	struct cmd_deregister out;
	struct str datacenter;

	ck_assert_int_eq(
		catalog_body_deregister(&arena,
			parsed(&arena, "{\"Node\":\"e\",\"ServiceID\":\"s\",\"Address\":\"a\","
				       "\"Datacenter\":\"dc2\"}"),
			&out, &datacenter, &why),
		0);
	ck_assert(
		str_is(out.node, "e") && str_is(out.service_id, "s") && str_is(datacenter, "dc2"));
	ck_assert_int_eq(catalog_body_deregister(
				 &arena, parsed(&arena, "{\"Node\":1}"), &out, &datacenter, &why),
		ST_INVALID);
	ck_assert_str_eq(buf_cstr(&why),
		"json: cannot unmarshal number into Go struct field .Node of type string");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("catalog_body");
	TCase *t = tcase_create("catalog_body");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, test_refusals, 0, ARRAY_SIZE(refusals));
	tcase_add_test(t, test_defaults);
	tcase_add_loop_test(t, test_definitions, 0, ARRAY_SIZE(definitions));
	tcase_add_test(t, test_deregister);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
