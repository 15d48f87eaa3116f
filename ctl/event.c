/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster event (fires a user event) and muster monitor (follows the agent's log).
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/regex.h"
#include "ctl/api.h"
#include "ctl/commands.h"

int filters_check(const struct event_filter *filters, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		OWN_EMBEDDED(buf_fini) struct buf why = { 0 };
		OWN(regex_free) struct regex *ignored = NULL;

		if (!ctl_is_set(filters[i].text)) {
			continue;
		}
		if (regex_new(str_of(filters[i].text), &ignored, &why)) {
			return ctl_fail("Failed to compile %s filter regexp: %s", filters[i].what,
				buf_cstr(&why));
		}
	}
	return 0;
}

int event_run(struct ctl *c, int argc, char **argv)
{
	static const char usage[] = "event [options] [payload]";
	static const char about[] =
		"Tells all nodes, or some of them, that something has happened.";
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, help = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct event_filter filters[] = { { "node", NULL }, { "service", NULL }, { "tag", NULL } };
	struct flagset f = { 0 };
	const char *name = NULL;
	struct json *event;
	int at;

	flag_add(&f, "name", FLAG_TEXT, &name, "Name of the event.");
	flag_add(&f, "node", FLAG_TEXT, &filters[0].text,
		"Only nodes whose names match this expression.");
	flag_add(&f, "service", FLAG_TEXT, &filters[1].text,
		"Only nodes with a service that matches.");
	flag_add(&f, "tag", FLAG_TEXT, &filters[2].text,
		"With -service: only where one of its tags matches.");
	at = api_begin(c, &api, &f, true, usage, about, argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (!ctl_is_set(name)) {
		ctl_help(c, &f, usage, about, &help);
		return ctl_fail("Event name must be specified\n\n%s", buf_cstr(&help));
	}
	if (argc - at > 1) {
		ctl_help(c, &f, usage, about, &help);
		return ctl_fail("Too many command line arguments.\n\n%s", buf_cstr(&help));
	}
	if (ctl_is_set(filters[2].text) && !ctl_is_set(filters[1].text)) {
		return ctl_fail("Cannot provide tag filter without service filter.");
	}
	if (filters_check(filters, ARRAY_SIZE(filters))) {
		return 1;
	}
	buf_put_lit(&path, "/v1/event/fire/");
	path_put(&path, name);
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		path_query(&path, filters[i].what, filters[i].text);
	}
	if (api_ask(&api, "PUT", &path, at < argc ? str_of(argv[at]) : STR_NONE, &answer) ||
		json_parse(&api.arena, buf_str(&answer.body), &event, &api.error)) {
		return ctl_fail("Error firing event: %s", api_error(&api));
	}
	ctl_say("Event ID: %s", field_text(event, "ID"));
	return 0;
}

static bool on_lines(void *arg, struct str data)
{
	fwrite(data.p, 1, data.n, stdout);
	fflush(stdout);
	return true;
}

static void on_interrupt(int number)
{
	_exit(0);
}

int monitor_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const char *level = "INFO";
	struct flagset f = { 0 };
	bool json = false;
	int at;

	flag_add(&f, "log-level", FLAG_TEXT, &level, "Least level to show.");
	flag_add(&f, "log-json", FLAG_BOOL, &json, "Lines as JSON.");
	at = api_begin(c, &api, &f, false, "monitor [options]",
		"Shows the agent's log as it is written, until interrupted.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	signal(SIGINT, on_interrupt);
	signal(SIGTERM, on_interrupt);
	buf_put_lit(&path, "/v1/agent/monitor");
	path_query(&path, "loglevel", level);
	if (json) {
		path_query(&path, "logjson", "true");
	}
	if (api_stream(&api, "GET", &path, NULL, on_lines, NULL, &answer) && answer.status != 200) {
		return ctl_fail("Error starting monitor: %s", api_error(&api));
	}
	return ctl_fail("\nRemote side ended the monitor! This usually means that the\nremote side "
			"has exited or crashed.");
}
