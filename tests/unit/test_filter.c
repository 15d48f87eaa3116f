/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filter expressions: what matches, and what is refused with which words (taken from the real
 * program).
 */
#include <check.h>

#include "common/base/err.h"
#include "httpd/core/filter.h"

#define PREFIX "Failed to create boolean expression evaluator: "

static const char node[] =
	"{\"ID\":\"89eb\",\"Node\":\"s1\",\"Address\":\"127.0.0.1\",\"Datacenter\":\"dc1\","
	"\"TaggedAddresses\":{\"lan\":\"127.0.0.1\"},"
	"\"Meta\":{\"rack\":\"r1\",\"rfc1035-x\":\"y\"},\"CreateIndex\":5,\"ModifyIndex\":7}";

static const char instance[] =
	"{\"Node\":{\"ID\":\"\",\"Node\":\"ext\",\"Address\":\"10.0.0.1\",\"Datacenter\":\"dc1\","
	"\"TaggedAddresses\":null,\"Meta\":null},"
	"\"Service\":{\"ID\":\"web1\",\"Service\":\"web\",\"Tags\":[\"a\",\"B\"],\"Address\":\"\","
	"\"TaggedAddresses\":"
	"{\"wan\":{\"Address\":\"1.2.3.4\",\"Port\":90}},\"Meta\":{\"v\":\"2\"},\"Port\":8080,"
	"\"Weights\":{\"Passing\":5,\"Warning\":2},\"EnableTagOverride\":true,\"Proxy\":{"
	"\"MeshGateway\":{},\"Expose\":{}},"
	"\"Connect\":{}},\"Checks\":[{\"Node\":\"ext\",\"CheckID\":\"c1\",\"Status\":\"passing\","
	"\"ServiceTags\":[]},"
	"{\"Node\":\"ext\",\"CheckID\":\"c2\",\"Status\":\"critical\",\"ServiceTags\":[\"a\"]}]}";

static const struct {
	enum filter_object object;
	const char *element, *expression;
	bool matches;
} matches[] = {
	{ FILTER_NODE, node, "", true },
	{ FILTER_NODE, node, "Node == s1", true },
	{ FILTER_NODE, node, "Node==s1", true },
	{ FILTER_NODE, node, "Node == \"s1\"", true },
	{ FILTER_NODE, node, "Node == `s1`", true },
	{ FILTER_NODE, node, "Node == \"\\x73\\u0031\"", true },
	{ FILTER_NODE, node, "Node == S1", false },
	{ FILTER_NODE, node, "Node != s1", false },
	{ FILTER_NODE, node, "not Node == s1", false },
	{ FILTER_NODE, node, "not not Node == s1", true },
	{ FILTER_NODE, node, "( Node == s1 )", true },
	{ FILTER_NODE, node, "Node == x or Node == s1 and Datacenter == dc1", true },
	{ FILTER_NODE, node, "(Node == s1 or Node == x) and Datacenter == dc2", false },
	{ FILTER_NODE, node, "Node == s1 or Node == x and Datacenter == dc2", true },
	{ FILTER_NODE, node, "s in Node", true },
	{ FILTER_NODE, node, "Node contains s", true },
	{ FILTER_NODE, node, "Node not contains s", false },
	{ FILTER_NODE, node, "z not in Node", true },
	{ FILTER_NODE, node, "rack in Meta", true },
	{ FILTER_NODE, node, "not in Meta", false },
	{ FILTER_NODE, node, "Meta.rack == r1", true },
	{ FILTER_NODE, node, "Meta[\"rfc1035-x\"] == y", true },
	{ FILTER_NODE, node, "Meta is empty", false },
	{ FILTER_NODE, node, "Meta is not empty", true },
	{ FILTER_NODE, node, "Node matches `(?i)^S[0-9]$`", true },
	{ FILTER_NODE, node, "Node matches `1`", true },
	{ FILTER_NODE, node, "Node not matches `1`", false },
	{ FILTER_NODE, node, "Node matches `x*`", true },
	{ FILTER_NODE, node, "Address == 127.0.0.1 or Node == s1",
		false /* a syntax error, see below */ },
	/* a key that is not there: only ==, in and `is not empty` are false */
	{ FILTER_NODE, node, "Meta.zone == r1", false },
	{ FILTER_NODE, node, "Meta.zone != r1", true },
	{ FILTER_NODE, node, "Meta.zone matches r", true },
	{ FILTER_NODE, node, "Meta.zone not matches r", true },
	{ FILTER_NODE, node, "r in Meta.zone", false },
	{ FILTER_NODE, node, "r not in Meta.zone", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.Port == 8080", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.Port == \"0x1f90\"", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.Port != 8080", false },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.Weights.Passing == 5", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.EnableTagOverride == true", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.EnableTagOverride == 0", false },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.Connect.Native == false", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "B in Service.Tags", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "b in Service.Tags", false },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.Tags contains a", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.Tags is empty", false },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.TaggedAddresses.wan.Port == 90", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.TaggedAddresses.lan.Port == 90", false },
	{ FILTER_CHECK_SERVICE_NODE, instance, "wan in Service.TaggedAddresses", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Node.Meta is empty", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Node.Meta.k == v", false },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Checks.Status == passing", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Checks.Status != passing", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "not Checks.Status == passing", false },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Checks.Status == warning", false },
	{ FILTER_CHECK_SERVICE_NODE, instance, "a in Checks.ServiceTags", true },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Checks is empty", false },
	{ FILTER_CHECK_SERVICE_NODE, instance, "Service.Proxy.DestinationServiceName == \"\"",
		true },
};

START_TEST(test_matches)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN(filter_free) struct filter *f = NULL;
	const char *expression = matches[_i].expression;

	if (filter_new(str_of(expression), matches[_i].object, &f, &why)) {
		ck_assert_msg(
			strstr(expression, "127.0.0.1"), "%s: %s", expression, buf_cstr(&why));
		return;
	}
	ck_assert_msg(
		filter_match_text(f, &arena, str_of(matches[_i].element)) == matches[_i].matches,
		"%s", expression);
}
END_TEST

static const struct {
	const char *expression, *text;
} refusals[] = {
	{ "Node == ", "1:9 (8): no match found, expected: \"-\", \"0\", \"\\\"\", \"`\", [ "
		      "\\t\\r\\n], [1-9] or [a-zA-Z]" },
	{ "Node", "1:5 (4): no match found, expected: \"!=\", \".\", \"==\", \"[\", [ \\t\\r\\n] "
		  "or [a-zA-Z0-9_]" },
	{ "Node == a b",
		"1:11 (10): no match found, expected: \"and\", \"or\", [ \\t\\r\\n] or EOF" },
	{ "(Node == a", "1:11 (10): rule \"grouping\": Unmatched parentheses" },
	{ "((Node == a)", "1:13 (12): rule \"grouping\": Unmatched parentheses" },
	{ "(Node == a))", "1:12 (11): no match found, expected: [ \\t\\r\\n] or EOF" },
	{ "Node[ == a", "1:7 (6): rule \"index\": Invalid index" },
	{ "Meta[\"a\" == a", "1:10 (9): rule \"index\": Unclosed index expression" },
	{ "Meta[\"a == a", "1:13 (12): rule \"string\": Unterminated string literal\n1:6 (5): rule "
			   "\"index\": Invalid index" },
	{ "Node == \"abc", "1:13 (12): rule \"string\": Unterminated string literal" },
	{ "Node == 1a", "1:10 (9): rule \"number\": Invalid number literal" },
	{ "Node == 01", "1:10 (9): rule \"number\": Invalid number literal" },
	{ "Node == -1.", "1:11 (10): rule \"number\": Invalid number literal" },
	{ "a in 1", "1:6 (5): rule \"match\": Invalid selector" },
	{ " ", "1:2 (1): no match found, expected: \"(\", \"-\", \"0\", \"\\\"\", \"`\", \"not\", "
	       "[ \\t\\r\\n], [1-9] or [a-zA-Z]" },
	{ "1", "1:2 (1): no match found, expected: \".\", [ \\t\\r\\n] or [0-9]" },
	{ "Node == \"a\\\"", "1:9 (8): rule \"string\": invalid syntax" },
	{ "Node == \"a\" \"",
		"1:13 (12): no match found, expected: \"and\", \"or\", [ \\t\\r\\n] or EOF" },
	{ "not", "1:4 (3): no match found, expected: \"!=\", \".\", \"==\", \"[\", [ \\t\\r\\n] or "
		 "[a-zA-Z0-9_]" },
	{ "Node is", "1:8 (7): no match found, expected: [ \\t\\r\\n]" },
	{ "Node ==\n\n x y",
		"3:4 (12): no match found, expected: \"and\", \"or\", [ \\t\\r\\n] or EOF" },
	{ "Node == \"\xc3\xa9\" x",
		"1:13 (13): no match found, expected: \"and\", \"or\", [ \\t\\r\\n] or EOF" },
	{ "x == y or", "1:10 (9): no match found, expected: [ \\t\\r\\n]" },
	{ "Node ! s1", "1:6 (5): no match found, expected: \"!=\", \"==\", \"contains\", \"in\", "
		       "\"is\", \"matches\", \"not\" or "
		       "[ \\t\\r\\n]" },
	{ "Node is empty", "Invalid match operator \"Is Empty\" for selector \"Node\"" },
	{ "Node is not empty", "Invalid match operator \"Is Not Empty\" for selector \"Node\"" },
	{ "Foo.bar == 1", "Selector \"Foo\" is not valid" },
	{ "Node.bar == 1", "Selector \"Node.bar\" is not valid" },
	{ "Meta.a.b == 1", "Selector \"Meta.a.b\" is not valid" },
	{ "Meta == 1", "Invalid match operator \"Equal\" for selector \"Meta\"" },
	{ "Node matches \"(\"", "Failed to compile regular expression \"(\": error parsing regexp: "
				"missing closing ): `(`" },
	{ "Node matches \")\"", "Failed to compile regular expression \")\": error parsing regexp: "
				"unexpected ): `)`" },
	{ "Node matches \"[a\"", "Failed to compile regular expression \"[a\": error parsing "
				 "regexp: missing closing ]: `[a`" },
	{ "Node matches \"*\"", "Failed to compile regular expression \"*\": error parsing regexp: "
				"missing argument to repetition operator: `*`" },
	{ "Node matches \"a**\"", "Failed to compile regular expression \"a**\": error parsing "
				  "regexp: invalid nested repetition operator: `**`" },
	{ "Node matches \"a{2,1}\"", "Failed to compile regular expression \"a{2,1}\": error "
				     "parsing regexp: invalid repeat count: `{2,1}`" },
	{ "Node matches \"(?=a)\"", "Failed to compile regular expression \"(?=a)\": error parsing "
				    "regexp: invalid or unsupported Perl syntax: `(?=`" },
	{ "Node matches `\\1`", "Failed to compile regular expression \"\\\\1\": error parsing "
				"regexp: invalid escape sequence: `\\1`" },
	{ "Node matches `\\`", "Failed to compile regular expression \"\\\\\": error parsing "
			       "regexp: trailing backslash at end of expression: ``" },
	{ "Node matches `[z-a]`", "Failed to compile regular expression \"[z-a]\": error parsing "
				  "regexp: invalid character class range: `z-a`" },
};

START_TEST(test_refusals)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, expected = { 0 };
	OWN(filter_free) struct filter *f = NULL;

	ck_assert_int_eq(
		filter_new(str_of(refusals[_i].expression), FILTER_NODE, &f, &why), ST_INVALID);
	buf_printf(&expected, PREFIX "%s", refusals[_i].text);
	ck_assert_str_eq(buf_cstr(&why), buf_cstr(&expected));
}
END_TEST

START_TEST(test_coercion)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
	OWN(filter_free) struct filter *f = NULL;

	ck_assert_int_eq(
		filter_new(STR("ServicePort == abc"), FILTER_SERVICE_NODE, &f, &why), ST_INVALID);
	ck_assert_str_eq(buf_cstr(&why),
		PREFIX "Failed to coerce value \"abc\" for selector \"ServicePort\": "
		       "strconv.ParseInt: parsing \"abc\": invalid syntax");
}
END_TEST

/* Deep nesting and long chains are bounded, whatever they cost the stack. */
START_TEST(test_limits)
{
	static const char *const pieces[] = { "(", "not ", "Node == a and ", "Node == a or " };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		OWN_EMBEDDED(buf_fini) struct buf text = { 0 }, why = { 0 };
		OWN(filter_free) struct filter *f = NULL;

		while (text.n + strlen(pieces[i]) + 16 < FILTER_SIZE_MAX) {
			buf_put_cstr(&text, pieces[i]);
		}
		buf_put_cstr(&text, "Node == a");
		ck_assert_int_eq(filter_new(buf_str(&text), FILTER_NODE, &f, &why) != 0, i < 2);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("filter");
	TCase *t = tcase_create("filter");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_loop_test(t, test_matches, 0, ARRAY_SIZE(matches));
	tcase_add_loop_test(t, test_refusals, 0, ARRAY_SIZE(refusals));
	tcase_add_test(t, test_coercion);
	tcase_add_test(t, test_limits);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
