/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of what the state holds, byte for byte as Consul 1.8 writes it: order of members, null
 * or [] or {} for what is unset.
 */
#include "catalogd/core/internal.h"

#define PROXY_DEFAULT STR("{\"MeshGateway\":{},\"Expose\":{}}")

#define PUT_STR(w, name, v)          \
	do {                         \
		jsonw_keyc(w, name); \
		jsonw_str(w, v);     \
	} while (0)
#define PUT_I64(w, name, v)          \
	do {                         \
		jsonw_keyc(w, name); \
		jsonw_i64(w, v);     \
	} while (0)
#define PUT_U64(w, name, v)          \
	do {                         \
		jsonw_keyc(w, name); \
		jsonw_u64(w, v);     \
	} while (0)
#define PUT_BOOL(w, name, v)         \
	do {                         \
		jsonw_keyc(w, name); \
		jsonw_bool(w, v);    \
	} while (0)

static void put_indexes(struct jsonw *w, uint64_t create_index, uint64_t modify_index)
{
	PUT_U64(w, "CreateIndex", create_index);
	PUT_U64(w, "ModifyIndex", modify_index);
	jsonw_close(w, '}');
}

static void put_tagged(struct jsonw *w, const struct service_def *s)
{
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < s->tagged_addresses.count; i++) {
		const struct tagged_address *a = &s->tagged_addresses.items[i];

		jsonw_key(w, a->name);
		jsonw_open(w, '{');
		PUT_STR(w, "Address", a->address);
		PUT_I64(w, "Port", a->port);
		jsonw_close(w, '}');
	}
	jsonw_close(w, '}');
}

static void put_weights(struct jsonw *w, const struct service_def *s)
{
	jsonw_open(w, '{');
	PUT_I64(w, "Passing", s->weight_passing);
	PUT_I64(w, "Warning", s->weight_warning);
	jsonw_close(w, '}');
}

static void put_connect(struct jsonw *w, const struct service_def *s)
{
	jsonw_open(w, '{');
	if (s->connect_native) {
		PUT_BOOL(w, "Native", true);
	}
	jsonw_close(w, '}');
}

void render_node(
	struct buf *out, const struct node_def *n, uint64_t create_index, uint64_t modify_index)
{
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	PUT_STR(&w, "ID", n->id);
	PUT_STR(&w, "Node", n->node);
	PUT_STR(&w, "Address", n->address);
	PUT_STR(&w, "Datacenter", n->datacenter);
	jsonw_keyc(&w, "TaggedAddresses");
	pairs_render(&w, n->tagged_addresses, true);
	jsonw_keyc(&w, "Meta");
	pairs_render(&w, n->meta, true);
	put_indexes(&w, create_index, modify_index);
}

void render_service(struct buf *out, const struct service_def *s, uint64_t create_index,
	uint64_t modify_index, bool nulls)
{
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	if (s->kind.n) {
		PUT_STR(&w, "Kind", s->kind);
	}
	PUT_STR(&w, "ID", s->id);
	PUT_STR(&w, "Service", s->name);
	jsonw_keyc(&w, "Tags");
	strs_render(&w, s->tags, nulls);
	PUT_STR(&w, "Address", s->address);
	if (s->tagged_addresses.count) {
		jsonw_keyc(&w, "TaggedAddresses");
		put_tagged(&w, s);
	}
	jsonw_keyc(&w, "Meta");
	pairs_render(&w, s->meta, true);
	PUT_I64(&w, "Port", s->port);
	jsonw_keyc(&w, "Weights");
	put_weights(&w, s);
	PUT_BOOL(&w, "EnableTagOverride", s->enable_tag_override);
	jsonw_keyc(&w, "Proxy");
	jsonw_raw(&w, s->proxy_json.n ? s->proxy_json : PROXY_DEFAULT);
	jsonw_keyc(&w, "Connect");
	put_connect(&w, s);
	put_indexes(&w, create_index, modify_index);
}

void render_instance(struct buf *out, const struct node_def *n, const struct service_def *s,
	uint64_t create_index, uint64_t modify_index)
{
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	PUT_STR(&w, "ID", n->id);
	PUT_STR(&w, "Node", n->node);
	PUT_STR(&w, "Address", n->address);
	PUT_STR(&w, "Datacenter", n->datacenter);
	jsonw_keyc(&w, "TaggedAddresses");
	pairs_render(&w, n->tagged_addresses, true);
	jsonw_keyc(&w, "NodeMeta");
	pairs_render(&w, n->meta, true);
	PUT_STR(&w, "ServiceKind", s->kind);
	PUT_STR(&w, "ServiceID", s->id);
	PUT_STR(&w, "ServiceName", s->name);
	jsonw_keyc(&w, "ServiceTags");
	strs_render(&w, s->tags, false);
	PUT_STR(&w, "ServiceAddress", s->address);
	if (s->tagged_addresses.count) {
		jsonw_keyc(&w, "ServiceTaggedAddresses");
		put_tagged(&w, s);
	}
	jsonw_keyc(&w, "ServiceWeights");
	put_weights(&w, s);
	jsonw_keyc(&w, "ServiceMeta");
	pairs_render(&w, s->meta, false);
	PUT_I64(&w, "ServicePort", s->port);
	PUT_BOOL(&w, "ServiceEnableTagOverride", s->enable_tag_override);
	jsonw_keyc(&w, "ServiceProxy");
	jsonw_raw(&w, s->proxy_json.n ? s->proxy_json : PROXY_DEFAULT);
	jsonw_keyc(&w, "ServiceConnect");
	put_connect(&w, s);
	put_indexes(&w, create_index, modify_index);
}

void render_check(struct buf *out, const struct health_check *h, uint64_t create_index,
	uint64_t modify_index, bool nulls)
{
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	PUT_STR(&w, "Node", h->node);
	PUT_STR(&w, "CheckID", h->check_id);
	PUT_STR(&w, "Name", h->name);
	PUT_STR(&w, "Status", h->status);
	PUT_STR(&w, "Notes", h->notes);
	PUT_STR(&w, "Output", h->output);
	PUT_STR(&w, "ServiceID", h->service_id);
	PUT_STR(&w, "ServiceName", h->service_name);
	jsonw_keyc(&w, "ServiceTags");
	strs_render(&w, h->service_tags, nulls);
	PUT_STR(&w, "Type", h->type);
	jsonw_keyc(&w, "Definition");
	jsonw_raw(&w, h->definition_json.n ? h->definition_json : STR("{}"));
	put_indexes(&w, create_index, modify_index);
}

static void put_service_checks(struct jsonw *w, const struct session_def *s)
{
	if (!s->service_checks.count) {
		jsonw_null(w);
		return;
	}
	jsonw_open(w, '[');
	for (uint32_t i = 0; i < s->service_checks.count; i++) {
		jsonw_open(w, '{');
		PUT_STR(w, "ID", s->service_checks.items[i].id);
		PUT_STR(w, "Namespace", s->service_checks.items[i].ns);
		jsonw_close(w, '}');
	}
	jsonw_close(w, ']');
}

void render_session(
	struct buf *out, const struct session_def *s, uint64_t create_index, uint64_t modify_index)
{
	struct jsonw w = jsonw_of(out);
	char id[UUID_TEXT_SIZE + 1];

	uuid_text(&s->id, id);
	jsonw_open(&w, '{');
	PUT_STR(&w, "ID", str_n(id, UUID_TEXT_SIZE));
	PUT_STR(&w, "Name", s->name);
	PUT_STR(&w, "Node", s->node);
	PUT_I64(&w, "LockDelay", s->lock_delay_ns);
	PUT_STR(&w, "Behavior", s->behavior);
	PUT_STR(&w, "TTL", s->ttl);
	jsonw_keyc(&w, "NodeChecks");
	strs_render(&w, s->node_checks, true);
	jsonw_keyc(&w, "ServiceChecks");
	put_service_checks(&w, s);
	put_indexes(&w, create_index, modify_index);
}

void render_kv(struct buf *out, struct str key, const struct kv_record *r, bool with_value)
{
	struct jsonw w = jsonw_of(out);
	char session[UUID_TEXT_SIZE + 1];

	jsonw_open(&w, '{');
	PUT_U64(&w, "LockIndex", r->lock_index);
	PUT_STR(&w, "Key", key);
	PUT_U64(&w, "Flags", r->flags);
	jsonw_keyc(&w, "Value");
	if (with_value) {
		jsonw_base64(&w, r->value);
	} else {
		jsonw_null(&w);
	}
	if (!uuid_is_zero(&r->session)) {
		uuid_text(&r->session, session);
		PUT_STR(&w, "Session", str_n(session, UUID_TEXT_SIZE));
	}
	put_indexes(&w, r->create_index, r->modify_index);
}
