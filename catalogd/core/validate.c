/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Consul's servers check and complete before a request becomes a command, with their texts.
 * Declared in core.h (requests) and internal.h (parts that transactions check too).
 */
#include "catalogd/core/internal.h"
#include "common/msg/query.h"

#define SESSION_TTL_MAX_NS (24 * 3600 * NS_PER_S)

static int refuse(struct buf *why, const char *text)
{
	buf_clear(why);
	buf_put_cstr(why, text);
	return ST_INVALID;
}

static int node_id_check(struct str id, struct buf *why)
{
	static const size_t hyphens[] = { 8, 13, 18, 23 };

	if (id.n != UUID_TEXT_SIZE) {
		return refuse(why, "Bad node ID: uuid string is wrong length");
	}
	for (size_t i = 0; i < ARRAY_SIZE(hyphens); i++) {
		if (id.p[hyphens[i]] != '-') {
			return refuse(why, "Bad node ID: uuid is improperly formatted");
		}
	}
	for (size_t i = 0, hyphen = 0; i < id.n; i++) {
		if (hyphen < ARRAY_SIZE(hyphens) && i == hyphens[hyphen]) {
			hyphen++;
		} else if (!memchr("0123456789abcdefABCDEF", id.p[i], 22)) {
			buf_clear(why);
			buf_printf(why, "Bad node ID: encoding/hex: invalid byte: U+%04X '%c'",
				(unsigned char)id.p[i], id.p[i]);
			return ST_INVALID;
		}
	}
	return 0;
}

int validate_node(const struct node_def *node, struct buf *why)
{
	if (!node->node.n) {
		return refuse(why, "Must provide node");
	}
	return node->id.n ? node_id_check(node->id, why) : 0;
}

int validate_service(struct service_def *s, struct buf *why)
{
	if (!s->id.n) {
		s->id = s->name;
	}
	if (s->id.n && !s->name.n) {
		return refuse(why, "Must provide service name with ID");
	}
	if (str_eq(s->address, STR("0.0.0.0")) || str_eq(s->address, STR("::")) ||
		str_eq(s->address, STR("[::]"))) {
		return refuse(why, "Invalid service address");
	}
	return 0;
}

static int check_register(struct cmd_register *cmd, struct buf *why)
{
	if (validate_node(&cmd->node, why)) {
		return ST_INVALID;
	}
	if (!cmd->node.address.n && !cmd->skip_node_update) {
		return refuse(why, "Must provide address if SkipNodeUpdate is not set");
	}
	if (cmd->has_service && validate_service(&cmd->service, why)) {
		return ST_INVALID;
	}
	for (uint32_t i = 0; i < cmd->checks.count; i++) {
		struct health_check *h = &cmd->checks.items[i];

		if (!h->node.n) {
			h->node = cmd->node.node;
		}
		if (!h->check_id.n) {
			h->check_id = h->name;
		}
	}
	return 0;
}

static int check_ttl(struct str ttl, int64_t ttl_min_ns, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	int64_t ns;

	if (duration_parse(ttl, &ns, &reason)) {
		buf_clear(why);
		buf_printf(why, "Session TTL '" STR_FMT "' invalid: " STR_FMT, STR_ARG(ttl),
			STR_ARG(buf_str(&reason)));
		return ST_INVALID;
	}
	if (ns && (ns < ttl_min_ns || ns > SESSION_TTL_MAX_NS)) {
		buf_clear(why);
		buf_printf(why, "Invalid Session TTL '%lld', must be between [", (long long)ns);
		duration_render(why, ttl_min_ns);
		buf_put_char(why, '=');
		duration_render(why, SESSION_TTL_MAX_NS);
		buf_put_char(why, ']');
		return ST_INVALID;
	}
	return 0;
}

static int check_session(struct session_def *s, const struct catalog_rules *rules, struct buf *why)
{
	if (!s->node.n) {
		return refuse(why, "Must provide Node");
	}
	if (!s->behavior.n) {
		s->behavior = STR("release");
	}
	if (!str_eq(s->behavior, STR("release")) && !str_eq(s->behavior, STR("delete"))) {
		buf_clear(why);
		buf_printf(why, "Invalid Behavior setting '" STR_FMT "'", STR_ARG(s->behavior));
		return ST_INVALID;
	}
	if (s->ttl.n && check_ttl(s->ttl, rules->session_ttl_min_ns, why)) {
		return ST_INVALID;
	}
	if (uuid_is_zero(&s->id)) {
		s->id = rules->fresh_id;
	}
	return 0;
}

static bool number_finite(uint64_t bits)
{
	return (bits >> 52 & 0x7ff) != 0x7ff;
}

static int check_coordinates(const struct cmd_coordinates *cmd, struct buf *why)
{
	for (uint32_t i = 0; i < cmd->items.count; i++) {
		const struct coordinate *v = &cmd->items.items[i];

		if (!number_finite(v->vec0) || !number_finite(v->vec1) || !number_finite(v->vec2) ||
			!number_finite(v->vec3) || !number_finite(v->vec4) ||
			!number_finite(v->vec5) || !number_finite(v->vec6) ||
			!number_finite(v->vec7) || !number_finite(v->error) ||
			!number_finite(v->adjustment) || !number_finite(v->height)) {
			return refuse(why, "invalid coordinate");
		}
	}
	return 0;
}

/*
 * What is wrong with a template is found here and nowhere else; what is wrong with other queries,
 * where they are created. An update is looked at by apply, for whether there is such a query counts
 * first.
 */
static int check_query(struct cmd_query *cmd, const struct catalog_rules *rules, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	bool valid;

	if (cmd->op == QUERY_DELETE) {
		return 0;
	}
	valid = !query_check(&cmd->query, &reason);
	if (cmd->op == QUERY_CREATE) {
		if (!uuid_is_zero(&cmd->query.id) || cmd->id.n) {
			return refuse(why, "ID must be empty when creating a new prepared query");
		}
		cmd->query.id = rules->fresh_id;
	}
	if (cmd->op == QUERY_CREATE && !valid) {
		buf_clear(why);
		buf_printf(why, "Invalid prepared query: " STR_FMT, STR_ARG(buf_str(&reason)));
		return ST_INVALID;
	}
	buf_clear(why);
	return valid && query_is_template(&cmd->query) ? query_template_check(&cmd->query, why) : 0;
}

/* Decodes the payload as its type, lets `check` look at it and complete it, and writes it again. */
#define VALIDATE(type, check)                                                     \
	case COMMAND_##type: {                                                    \
		struct type cmd;                                                  \
		int r = type##_decode(payload, arena, &cmd);                      \
                                                                                  \
		if (r || (check)) {                                               \
			return r ? refuse(why, "malformed request") : ST_INVALID; \
		}                                                                 \
		type##_encode(out, &cmd);                                         \
		return 0;                                                         \
	}

int catalog_validate(const struct catalog_rules *rules, uint16_t command, struct str payload,
	struct arena *arena, struct buf *out, struct buf *why)
{
	switch (command) {
		VALIDATE(cmd_register, check_register(&cmd, why))
		VALIDATE(cmd_deregister, cmd.node.n ? 0 : refuse(why, "Must provide node"))
		VALIDATE(cmd_kv,
			cmd.key.n || cmd.op == KV_DELETE_TREE ? 0 : refuse(why, "Must provide key"))
		VALIDATE(cmd_session_create, check_session(&cmd.session, rules, why))
		VALIDATE(cmd_session_destroy,
			uuid_is_zero(&cmd.id) ? refuse(why, "Must provide ID") : 0)
		VALIDATE(cmd_txn, 0)
		VALIDATE(cmd_coordinates, check_coordinates(&cmd, why))
		VALIDATE(cmd_autopilot, 0)
		VALIDATE(cmd_query, check_query(&cmd, rules, why))
	default:
		return refuse(why, "unknown request");
	}
}
