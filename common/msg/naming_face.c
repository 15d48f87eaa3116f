/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faces: under which addresses instances and nodes are shown, and where their records are.
 */
#include "common/msg/naming.h"

static const struct face {
	enum tagged_family family;
	bool wan;
	enum naming_face fallback;
} faces[NAMING_FACES_COUNT] = {
	[NAMING_FACE_ANY] = { TAGGED_ANY, false, NAMING_FACE_ANY },
	[NAMING_FACE_A] = { TAGGED_V4, false, NAMING_FACE_ANY },
	[NAMING_FACE_AAAA] = { TAGGED_V6, false, NAMING_FACE_ANY },
	[NAMING_FACE_WAN_ANY] = { TAGGED_ANY, true, NAMING_FACE_ANY },
	[NAMING_FACE_WAN_A] = { TAGGED_V4, true, NAMING_FACE_WAN_ANY },
	[NAMING_FACE_WAN_AAAA] = { TAGGED_V6, true, NAMING_FACE_WAN_ANY },
};

enum naming_face naming_face(enum tagged_family family, bool wan)
{
	enum naming_face face = NAMING_FACE_ANY;

	while (faces[face].family != family || faces[face].wan != wan) {
		face++;
	}
	return face;
}

enum naming_face naming_face_fallback(enum naming_face face)
{
	return faces[face].fallback;
}

struct naming_instance naming_face_instance(const struct naming_faced *in, enum naming_face face)
{
	struct naming_instance out = in->plain;
	enum tagged_family family = faces[face].family;
	bool wan = faces[face].wan;

	out.address = tagged_address(&in->tagged, out.address, family, wan);
	out.node_address = tagged_address(&in->node_tagged, out.node_address, family, wan);
	out.port = tagged_port(&in->tagged, out.port, wan);
	if (!out.address.n && !str_eq(out.node_address, in->plain.node_address)) {
		out.address = out.node_address;
	}
	return out;
}

bool naming_faces_agree(
	const struct naming_faced *in, enum naming_face face, enum naming_face other)
{
	struct naming_instance a = naming_face_instance(in, face),
			       b = naming_face_instance(in, other);

	return str_eq(a.address, b.address) && str_eq(a.node_address, b.node_address) &&
	       a.port == b.port;
}

struct str naming_face_address(const struct node_def *node, enum naming_face face)
{
	struct tagged tagged;

	tagged_of_node(&tagged, &node->tagged_addresses);
	return tagged_address(&tagged, node->address, faces[face].family, faces[face].wan);
}

struct str naming_face_key(
	struct state_key *room, enum naming_owner owner, struct str name, enum naming_face face)
{
	const char head[2] = { (char)owner, (char)('0' + face) };

	return state_key2(room, str_n(head, sizeof(head)), name);
}

bool naming_find(struct kv_txn *t, enum naming_owner owner, struct str name, enum naming_face face,
	struct str *record_out)
{
	struct state_key room;

	for (; face != NAMING_FACE_ANY; face = naming_face_fallback(face)) {
		if (kv_get(t, NAMING_FACES, naming_face_key(&room, owner, name, face),
			    record_out)) {
			return true;
		}
	}
	return kv_get(
		t, owner == NAMING_OWNER_NODE ? NAMING_NODES : NAMING_SERVICES, name, record_out);
}
