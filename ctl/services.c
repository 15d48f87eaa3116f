/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster services (register, deregister) and muster maint: what an agent keeps about its own
 * services.
 */
#include <stdio.h>

#include "common/base/err.h"
#include "common/client/definition.h"
#include "ctl/api.h"
#include "ctl/commands.h"

/* ---- definitions from files ---- */

struct file_services {
	struct service_definition items[256];
	size_t count;
};

static int one_add(struct api *api, const struct json *v, const char *path, const char *file,
	struct file_services *all)
{
	struct result error = { 0 };

	if (all->count == ARRAY_SIZE(all->items)) {
		return ctl_fail("Error: %s: more than %zu services", file, ARRAY_SIZE(all->items));
	}
	if (definition_file_shape(&api->arena, true, path, v, &error) ||
		definition_service(
			&api->arena, DEFINITION_FILE, v, &all->items[all->count], &error)) {
		return ctl_fail("Error: failed to parse %s: " STR_FMT, file, STR_ARG(error.text));
	}
	all->count++;
	return 0;
}

/* "service": {..} and "services": [..], in any case. */
static int file_add(struct api *api, const char *file, struct file_services *all)
{
	OWN_EMBEDDED(buf_fini) struct buf text = { 0 }, why = { 0 }, word = { 0 };
	const struct json *one, *many, *item;
	struct json *tree;
	unsigned at = 0;

	buf_printf(&word, strcmp(file, "-") ? "@%s" : "%s", file);
	if (data_read(buf_cstr(&word), &text, &why)) {
		return ctl_fail("Error: config: Open failed on %s. %s", file, buf_cstr(&why));
	}
	if (json_parse(&api->arena, buf_str(&text), &tree, &why)) {
		return ctl_fail("Error: failed to parse %s: %s", file, buf_cstr(&why));
	}
	one = json_find_fold(tree, "service");
	many = json_find_fold(tree, "services");
	if (one && one_add(api, one, "service", file, all)) {
		return 1;
	}
	for (item = many && many->type == JSON_ARRAY ? many->first : NULL; item;
		item = item->next) {
		char path[32];

		snprintf(path, sizeof(path), "services[%u]", at++);
		if (one_add(api, item, path, file, all)) {
			return 1;
		}
	}
	return 0;
}

static int files_read(struct api *api, int count, char **files, struct file_services *all)
{
	for (int i = 0; i < count; i++) {
		if (file_add(api, files[i], all)) {
			return 1;
		}
	}
	return 0;
}

/* ---- register ---- */

struct register_flags {
	const char *id, *name, *address, *kind;
	int64_t port;
	struct flag_list tags, meta, tagged;
};

static void text_put(struct jsonw *w, const char *key, const char *value)
{
	if (value) {
		jsonw_key(w, str_of(key));
		jsonw_cstr(w, value);
	}
}

/* name=address:port */
static void tagged_put(struct jsonw *w, const struct flag_list *list)
{
	jsonw_keyc(w, "TaggedAddresses");
	jsonw_open(w, '{');
	for (size_t i = 0; i < list->count; i++) {
		struct str value, name = str_split(str_of(list->items[i]), '=', &value),
				  address = value;
		ssize_t colon = str_rfind(value, ':');
		uint64_t port = 0;

		if (colon >= 0 && str_to_u64(str_skip(value, (size_t)colon + 1), &port) == 0) {
			address = str_cut(value, (size_t)colon);
		}
		jsonw_key(w, name);
		jsonw_open(w, '{');
		jsonw_put_str(w, "Address", address);
		jsonw_put_u64(w, "Port", port);
		jsonw_close(w, '}');
	}
	jsonw_close(w, '}');
}

static void flags_body(const struct register_flags *r, struct buf *body)
{
	struct jsonw w = jsonw_of(body);

	jsonw_open(&w, '{');
	text_put(&w, "Kind", r->kind);
	text_put(&w, "ID", r->id);
	text_put(&w, "Name", r->name);
	text_put(&w, "Address", r->address);
	jsonw_put_i64(&w, "Port", r->port);
	jsonw_keyc(&w, "Tags");
	jsonw_open(&w, '[');
	for (size_t i = 0; i < r->tags.count; i++) {
		jsonw_cstr(&w, r->tags.items[i]);
	}
	jsonw_close(&w, ']');
	jsonw_keyc(&w, "Meta");
	jsonw_open(&w, '{');
	for (size_t i = 0; i < r->meta.count; i++) {
		struct str value, key = str_split(str_of(r->meta.items[i]), '=', &value);

		jsonw_key(&w, key);
		jsonw_str(&w, value);
	}
	jsonw_close(&w, '}');
	if (r->tagged.count) {
		tagged_put(&w, &r->tagged);
	}
	jsonw_close(&w, '}');
}

static int body_send(struct api *api, const char *name, struct str body)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

	buf_put_lit(&path, "/v1/agent/service/register");
	if (api_ask(api, "PUT", &path, body, &answer)) {
		return ctl_fail("Error registering service \"%s\": %s", name, api_error(api));
	}
	ctl_say("Registered service: %s", name);
	return 0;
}

int services_register_run(struct ctl *c, int argc, char **argv)
{
	OWN(free) struct register_flags *r = xcalloc(1, sizeof(*r));
	OWN(free) struct file_services *all = xcalloc(1, sizeof(*all));
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	int at;

	flag_add(&f, "id", FLAG_TEXT, &r->id, "ID of the service; its name by default.");
	flag_add(&f, "name", FLAG_TEXT, &r->name, "Name of the service.");
	flag_add(&f, "address", FLAG_TEXT, &r->address,
		"Address of the service; the node's by default.");
	flag_add(&f, "port", FLAG_INT, &r->port, "Port of the service.");
	flag_add(&f, "tag", FLAG_TEXTS, &r->tags, "A tag. May be given several times.");
	flag_add(&f, "meta", FLAG_TEXTS, &r->meta, "A pair key=value. May be given several times.");
	flag_add(&f, "tagged-address", FLAG_TEXTS, &r->tagged,
		"An address name=address:port. May be given several times.");
	flag_add(&f, "kind", FLAG_TEXT, &r->kind, "Kind of the service.");
	at = api_begin(c, &api, &f, true, "services register [options] [FILE...]",
		"Registers services with the agent, from flags or from files.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (at == argc && !ctl_is_set(r->name)) {
		return ctl_fail("Service registration requires at least one argument or flags.");
	}
	if (at < argc && (ctl_is_set(r->id) || ctl_is_set(r->name))) {
		return ctl_fail("Service registration requires arguments or -id, not both.");
	}
	if (at == argc) {
		flags_body(r, &body);
		return body_send(&api, r->name, buf_str(&body));
	}
	if (files_read(&api, argc - at, argv + at, all)) {
		return 1;
	}
	for (size_t i = 0; i < all->count; i++) {
		OWN(free) char *name = str_dup(all->items[i].service.name);
		struct jsonw w = jsonw_of(&body);

		buf_clear(&body);
		definition_service_render(&w, &all->items[i]);
		if (body_send(&api, name, buf_str(&body))) {
			return 1;
		}
	}
	return 0;
}

/* ---- deregister ---- */

static int deregister(struct api *api, const char *id)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };

	buf_put_lit(&path, "/v1/agent/service/deregister/");
	path_put(&path, id);
	if (api_ask(api, "PUT", &path, STR_NONE, &answer)) {
		return ctl_fail("Error deregistering service \"%s\": %s", id, api_error(api));
	}
	ctl_say("Deregistered service: %s", id);
	return 0;
}

int services_deregister_run(struct ctl *c, int argc, char **argv)
{
	OWN(free) struct file_services *all = xcalloc(1, sizeof(*all));
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	struct flagset f = { 0 };
	const char *id = NULL;
	int at;

	flag_add(&f, "id", FLAG_TEXT, &id, "ID of the service.");
	at = api_begin(c, &api, &f, true, "services deregister [options] [FILE...]",
		"Takes services away from the agent, by ID or by the files that registered them.",
		argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (at == argc && !ctl_is_set(id)) {
		return ctl_fail("Service deregistration requires at least one argument or -id.");
	}
	if (at < argc && ctl_is_set(id)) {
		return ctl_fail("Service deregistration requires arguments or -id, not both.");
	}
	if (ctl_is_set(id)) {
		return deregister(&api, id);
	}
	if (files_read(&api, argc - at, argv + at, all)) {
		return 1;
	}
	for (size_t i = 0; i < all->count; i++) {
		OWN(free) char *service_id = str_dup(all->items[i].service.id);

		if (deregister(&api, service_id)) {
			return 1;
		}
	}
	return 0;
}

/* ---- maint ---- */

static int maint_show(struct api *api)
{
	static const char node_check[] = "_node_maintenance",
			  service_check[] = "_service_maintenance:";
	OWN_EMBEDDED(buf_fini) struct buf self = { 0 }, checks = { 0 };
	const struct json *me, *all, *check;

	buf_put_lit(&self, "/v1/agent/self");
	buf_put_lit(&checks, "/v1/agent/checks");
	if (api_get(api, &self, &me)) {
		return ctl_fail("Error querying Consul agent: %s", api_error(api));
	}
	if (api_get(api, &checks, &all)) {
		return ctl_fail("Error querying checks: %s", api_error(api));
	}
	json_for_each (check, all) {
		const char *id = field_text(check, "CheckID");

		if (strcmp(id, node_check) == 0) {
			printf("Node:\n  Name:   %s\n  Reason: %s\n\n",
				field_text(json_find(me, "Config"), "NodeName"),
				field_text(check, "Notes"));
		} else if (strncmp(id, service_check, strlen(service_check)) == 0) {
			printf("Service:\n  ID:     %s\n  Reason: %s\n\n",
				field_text(check, "ServiceID"), field_text(check, "Notes"));
		}
	}
	return 0;
}

static int maint_set(struct api *api, bool enable, const char *reason, const char *service)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	const char *what = service ? "service" : "node";

	buf_put_cstr(&path, service ? "/v1/agent/service/maintenance/" : "/v1/agent/maintenance");
	path_put(&path, service ? service : "");
	path_query(&path, "enable", enable ? "true" : "false");
	path_query(&path, "reason", reason);
	if (api_ask(api, "PUT", &path, STR_NONE, &answer)) {
		return ctl_fail("Error %s %s maintenance: %s", enable ? "enabling" : "disabling",
			what, api_error(api));
	}
	if (service) {
		ctl_say("Service maintenance is now %s for \"%s\"", enable ? "enabled" : "disabled",
			service);
	} else {
		ctl_say("Node maintenance is now %s", enable ? "enabled" : "disabled");
	}
	return 0;
}

int maint_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const char *reason = NULL, *service = NULL;
	bool enable = false, disable = false;
	struct flagset f = { 0 };
	int at;

	flag_add(&f, "enable", FLAG_BOOL, &enable, "Begin maintenance.");
	flag_add(&f, "disable", FLAG_BOOL, &disable, "End maintenance.");
	flag_add(&f, "reason", FLAG_TEXT, &reason, "Why, for those who look.");
	flag_add(&f, "service", FLAG_TEXT, &service,
		"One service by its ID, instead of the whole node.");
	at = api_begin(c, &api, &f, false, "maint [options]",
		"Shows, begins or ends maintenance of the node or a service.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (enable && disable) {
		return ctl_fail("Only one of -enable or -disable may be provided");
	}
	if (!enable && ctl_is_set(reason)) {
		return ctl_fail("Reason may only be provided with -enable");
	}
	if (!enable && !disable && ctl_is_set(service)) {
		return ctl_fail("Service requires either -enable or -disable");
	}
	if (!enable && !disable) {
		return maint_show(&api);
	}
	return maint_set(&api, enable, reason, ctl_is_set(service) ? service : NULL);
}
