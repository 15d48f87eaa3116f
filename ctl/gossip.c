/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool's keys and distances: keyring, rtt.
 */
#include <math.h>
#include <string.h>

#include "ctl/api.h"
#include "ctl/commands.h"

/* ---- keyring ---- */

static void counts_print(const struct json *pool, const char *field)
{
	const struct json *counts = json_find(pool, field), *key;

	for (key = counts ? counts->first : NULL; key; key = key->next) {
		printf("  " STR_FMT " [" STR_FMT "/%llu]\n", STR_ARG(key->key), STR_ARG(key->text),
			(unsigned long long)field_u64(pool, "NumNodes"));
	}
}

static int keys_print(struct api *api, struct buf *path, const char *field)
{
	const struct json *pools, *pool;

	if (api_get(api, path, &pools)) {
		return ctl_fail("error: %s", api_error(api));
	}
	json_for_each (pool, pools) {
		if (field_bool(pool, "WAN")) {
			printf("\nWAN:\n");
		} else {
			printf("\n%s (LAN):\n", field_text(pool, "Datacenter"));
		}
		counts_print(pool, field);
	}
	return 0;
}

static int key_send(struct api *api, const char *method, struct buf *path, const char *key)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	struct jsonw w = jsonw_of(&body);

	jsonw_open(&w, '{');
	jsonw_put_cstr(&w, "Key", key);
	jsonw_close(&w, '}');
	return api_ask(api, method, path, buf_str(&body), &answer)
		       ? ctl_fail("error: %s", api_error(api))
		       : 0;
}

struct key_action {
	const char *key, *method, *what;
};

int keyring_run(struct ctl *c, int argc, char **argv)
{
	enum { RELAY_FACTOR_MAX = 5 };
	static const char usage[] = "keyring [options]";
	static const char about[] = "Shows and changes the keys that encrypt gossip.";
	struct key_action actions[] = { { NULL, "POST", "Installing new gossip encryption key..." },
		{ NULL, "PUT", "Changing primary gossip encryption key..." },
		{ NULL, "DELETE", "Removing gossip encryption key..." } };
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 }, help = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	bool list = false, primary = false, local = false;
	struct flagset f = { 0 };
	int64_t relay = 0;
	int at, count;

	flag_add(&f, "install", FLAG_TEXT, &actions[0].key, "Installs this key everywhere.");
	flag_add(&f, "use", FLAG_TEXT, &actions[1].key, "Encrypts with this key from now on.");
	flag_add(&f, "remove", FLAG_TEXT, &actions[2].key, "Removes this key everywhere.");
	flag_add(&f, "list", FLAG_BOOL, &list, "Lists the keys and how many members have them.");
	flag_add(&f, "list-primary", FLAG_BOOL, &primary, "Lists the keys that are used.");
	flag_add(&f, "local-only", FLAG_BOOL, &local, "With -list: asks this agent alone.");
	flag_add(&f, "relay-factor", FLAG_INT, &relay,
		"Answers come through so many other members too (0 to 5).");
	at = api_begin(c, &api, &f, false, usage, about, argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	count = list + primary;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		count += ctl_is_set(actions[i].key);
	}
	if (count == 0) {
		ctl_help(c, &f, usage, about, &help);
		return ctl_fail("%s", buf_cstr(&help));
	}
	if (count > 1) {
		return ctl_fail("Only a single action is allowed");
	}
	if (relay < 0 || relay > RELAY_FACTOR_MAX) {
		return ctl_fail(
			"Error parsing relay factor: Relay factor must be in range: [0, %d]",
			RELAY_FACTOR_MAX);
	}
	if (local && !list && !primary) {
		return ctl_fail("Error validating local-only: local-only can only be set for list "
				"requests");
	}
	buf_put_lit(&path, "/v1/operator/keyring");
	if (relay) {
		path_query_n(&path, "relay-factor", (uint64_t)relay);
	}
	path_query(&path, "local-only", local ? "true" : "");
	if (list || primary) {
		ctl_say("==> Gathering installed %sencryption keys...", primary ? "primary " : "");
		return keys_print(&api, &path, primary ? "PrimaryKeys" : "Keys");
	}
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (ctl_is_set(actions[i].key)) {
			ctl_say("==> %s", actions[i].what);
			return key_send(&api, actions[i].method, &path, actions[i].key);
		}
	}
	return 0;
}

/* ---- rtt ---- */

static double number(const struct json *object, const char *key)
{
	const struct json *v = json_find(object, key);

	return v && v->type == JSON_NUMBER ? strtod(v->text.p, NULL) : 0;
}

/* Consul's estimate: the distance of the vectors and both heights, adjusted unless that is below
 * zero. */
static double distance(const struct json *a, const struct json *b)
{
	const struct json *av = json_find(a, "Vec"), *bv = json_find(b, "Vec"), *x, *y;
	double sum = 0, raw, adjusted;

	x = av ? av->first : NULL;
	y = bv ? bv->first : NULL;
	while (x && y) {
		double d = strtod(x->text.p, NULL) - strtod(y->text.p, NULL);

		sum += d * d;
		x = x->next;
		y = y->next;
	}
	raw = sqrt(sum) + number(a, "Height") + number(b, "Height");
	adjusted = raw + number(a, "Adjustment") + number(b, "Adjustment");
	return adjusted > 0 ? adjusted : raw;
}

static const struct json *coordinate_of(const struct json *list, const char *node)
{
	const struct json *item;

	for (item = list ? list->first : NULL; item; item = item->next) {
		if (strcmp(field_text(item, "Node"), node) == 0) {
			return json_find(item, "Coord");
		}
	}
	return NULL;
}

/* Of all data centres in one list, named node.datacenter. */
static const struct json *wan_coordinate(const struct json *areas, const char *name)
{
	const char *dot = strrchr(name, '.');
	const struct json *area;

	json_for_each (area, areas) {
		if (dot && strcmp(field_text(area, "Datacenter"), dot + 1) == 0 &&
			strcmp(field_text(area, "AreaID"), "wan") == 0) {
			OWN(free) char *node = xstrndup(name, (size_t)(dot - name));

			return coordinate_of(json_find(area, "Coordinates"), node);
		}
	}
	return NULL;
}

static bool is_wan_name(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot && !strchr(dot + 1, '.');
}

/* This node, as the pool calls it. */
static int own_name(struct api *api, bool wan, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	const struct json *self, *config;

	buf_put_lit(&path, "/v1/agent/self");
	if (api_get(api, &path, &self)) {
		return ctl_fail("Unable to look up agent info: %s", api_error(api));
	}
	config = json_find(self, "Config");
	buf_put_cstr(out, field_text(config, "NodeName"));
	if (wan) {
		buf_printf(out, ".%s", field_text(config, "Datacenter"));
	}
	return 0;
}

/* The coordinates of two nodes, and what lies between them. */
static int rtt_show(struct api *api, bool wan, const char *const names[2])
{
	OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
	const struct json *list, *coords[2];

	buf_put_cstr(&path, wan ? "/v1/coordinate/datacenters" : "/v1/coordinate/nodes");
	if (api_get(api, &path, &list)) {
		return ctl_fail("Error getting coordinates: %s", api_error(api));
	}
	for (int i = 0; i < 2; i++) {
		coords[i] = wan ? wan_coordinate(list, names[i]) : coordinate_of(list, names[i]);
	}
	if (!coords[0] || !coords[1]) {
		/* As in Consul: of two servers that are not in one pool the first is named. */
		return ctl_fail(
			"Could not find a coordinate for node \"%s\"", names[!wan && coords[0]]);
	}
	ctl_say("Estimated %s <-> %s rtt: %.3f ms (using %s coordinates)", names[0], names[1],
		distance(coords[0], coords[1]) * 1000.0, wan ? "WAN" : "LAN");
	return 0;
}

int rtt_run(struct ctl *c, int argc, char **argv)
{
	OWN_EMBEDDED(buf_fini) struct buf self = { 0 };
	OWN_EMBEDDED(api_fini) struct api api = { 0 };
	const char *names[2];
	struct flagset f = { 0 };
	bool wan = false;
	int at, r;

	flag_add(&f, "wan", FLAG_BOOL, &wan, "Between servers, named node.datacenter.");
	at = api_begin(c, &api, &f, false, "rtt [options] NODE1 [NODE2]",
		"Estimates how long a packet takes between two nodes and back.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (argc - at < 1 || argc - at > 2) {
		return ctl_fail("One or two node names must be specified");
	}
	names[0] = argv[at];
	names[1] = argv[argc - 1];
	if (argc - at == 1) {
		r = own_name(&api, wan, &self);
		if (r) {
			return r;
		}
		names[1] = buf_cstr(&self);
	}
	if (wan && (!is_wan_name(names[0]) || !is_wan_name(names[1]))) {
		return ctl_fail(
			"Node names must be specified as <node name>.<datacenter> with -wan");
	}
	return rtt_show(&api, wan, names);
}
