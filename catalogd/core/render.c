/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of what the state holds, byte for byte as Consul 1.8 writes it: order of members, null
 * or [] or {} for what is unset.
 */
#include "catalogd/core/internal.h"

#define PROXY_DEFAULT STR("{\"MeshGateway\":{},\"Expose\":{}}")

static void put_indexes(struct jsonw *w, uint64_t create_index, uint64_t modify_index)
{
	jsonw_put_u64(w, "CreateIndex", create_index);
	jsonw_put_u64(w, "ModifyIndex", modify_index);
	jsonw_close(w, '}');
}

static void put_tagged(struct jsonw *w, const struct service_def *s)
{
	jsonw_open(w, '{');
	for (uint32_t i = 0; i < s->tagged_addresses.count; i++) {
		const struct tagged_address *a = &s->tagged_addresses.items[i];

		jsonw_key(w, a->name);
		jsonw_open(w, '{');
		jsonw_put_str(w, "Address", a->address);
		jsonw_put_i64(w, "Port", a->port);
		jsonw_close(w, '}');
	}
	jsonw_close(w, '}');
}

static void put_weights(struct jsonw *w, const struct service_def *s)
{
	jsonw_open(w, '{');
	jsonw_put_i64(w, "Passing", s->weight_passing);
	jsonw_put_i64(w, "Warning", s->weight_warning);
	jsonw_close(w, '}');
}

static void put_connect(struct jsonw *w, const struct service_def *s)
{
	jsonw_open(w, '{');
	if (s->connect_native) {
		jsonw_put_bool(w, "Native", true);
	}
	jsonw_close(w, '}');
}

void render_node(
	struct buf *out, const struct node_def *n, uint64_t create_index, uint64_t modify_index)
{
	struct jsonw w = jsonw_of(out);

	jsonw_open(&w, '{');
	jsonw_put_str(&w, "ID", n->id);
	jsonw_put_str(&w, "Node", n->node);
	jsonw_put_str(&w, "Address", n->address);
	jsonw_put_str(&w, "Datacenter", n->datacenter);
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
		jsonw_put_str(&w, "Kind", s->kind);
	}
	jsonw_put_str(&w, "ID", s->id);
	jsonw_put_str(&w, "Service", s->name);
	jsonw_keyc(&w, "Tags");
	strs_render(&w, s->tags, nulls);
	jsonw_put_str(&w, "Address", s->address);
	if (s->tagged_addresses.count) {
		jsonw_keyc(&w, "TaggedAddresses");
		put_tagged(&w, s);
	}
	jsonw_keyc(&w, "Meta");
	pairs_render(&w, s->meta, true);
	jsonw_put_i64(&w, "Port", s->port);
	jsonw_keyc(&w, "Weights");
	put_weights(&w, s);
	jsonw_put_bool(&w, "EnableTagOverride", s->enable_tag_override);
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
	jsonw_put_str(&w, "ID", n->id);
	jsonw_put_str(&w, "Node", n->node);
	jsonw_put_str(&w, "Address", n->address);
	jsonw_put_str(&w, "Datacenter", n->datacenter);
	jsonw_keyc(&w, "TaggedAddresses");
	pairs_render(&w, n->tagged_addresses, true);
	jsonw_keyc(&w, "NodeMeta");
	pairs_render(&w, n->meta, true);
	jsonw_put_str(&w, "ServiceKind", s->kind);
	jsonw_put_str(&w, "ServiceID", s->id);
	jsonw_put_str(&w, "ServiceName", s->name);
	jsonw_keyc(&w, "ServiceTags");
	strs_render(&w, s->tags, false);
	jsonw_put_str(&w, "ServiceAddress", s->address);
	if (s->tagged_addresses.count) {
		jsonw_keyc(&w, "ServiceTaggedAddresses");
		put_tagged(&w, s);
	}
	jsonw_keyc(&w, "ServiceWeights");
	put_weights(&w, s);
	jsonw_keyc(&w, "ServiceMeta");
	pairs_render(&w, s->meta, false);
	jsonw_put_i64(&w, "ServicePort", s->port);
	jsonw_put_bool(&w, "ServiceEnableTagOverride", s->enable_tag_override);
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
	jsonw_put_str(&w, "Node", h->node);
	jsonw_put_str(&w, "CheckID", h->check_id);
	jsonw_put_str(&w, "Name", h->name);
	jsonw_put_str(&w, "Status", h->status);
	jsonw_put_str(&w, "Notes", h->notes);
	jsonw_put_str(&w, "Output", h->output);
	jsonw_put_str(&w, "ServiceID", h->service_id);
	jsonw_put_str(&w, "ServiceName", h->service_name);
	jsonw_keyc(&w, "ServiceTags");
	strs_render(&w, h->service_tags, nulls);
	jsonw_put_str(&w, "Type", h->type);
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
		jsonw_put_str(w, "ID", s->service_checks.items[i].id);
		jsonw_put_str(w, "Namespace", s->service_checks.items[i].ns);
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
	jsonw_put_str(&w, "ID", str_n(id, UUID_TEXT_SIZE));
	jsonw_put_str(&w, "Name", s->name);
	jsonw_put_str(&w, "Node", s->node);
	jsonw_put_i64(&w, "LockDelay", s->lock_delay_ns);
	jsonw_put_str(&w, "Behavior", s->behavior);
	jsonw_put_str(&w, "TTL", s->ttl);
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
	jsonw_put_u64(&w, "LockIndex", r->lock_index);
	jsonw_put_str(&w, "Key", key);
	jsonw_put_u64(&w, "Flags", r->flags);
	jsonw_keyc(&w, "Value");
	if (with_value) {
		jsonw_base64(&w, r->value);
	} else {
		jsonw_null(&w);
	}
	if (!uuid_is_zero(&r->session)) {
		uuid_text(&r->session, session);
		jsonw_put_str(&w, "Session", str_n(session, UUID_TEXT_SIZE));
	}
	put_indexes(&w, r->create_index, r->modify_index);
}
