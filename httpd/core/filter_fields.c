/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be selected in each kind of element. A field that a later release adds is one row here.
 */
#include "httpd/core/filter_tree.h"

#define FIELDS(name, ...)                                                 \
	static const struct filter_field name##_rows[] = { __VA_ARGS__ }; \
	static const struct filter_fields name = { name##_rows, ARRAY_SIZE(name##_rows) }

const struct filter_field filter_map_value = { "", FILTER_STRING, NULL };

FIELDS(service_address, { "Address", FILTER_STRING }, { "Port", FILTER_INT });
FIELDS(weights, { "Passing", FILTER_INT }, { "Warning", FILTER_INT });
FIELDS(mesh_gateway, { "Mode", FILTER_STRING });
FIELDS(expose_path, { "ListenerPort", FILTER_INT }, { "Path", FILTER_STRING },
	{ "LocalPathPort", FILTER_INT }, { "Protocol", FILTER_STRING },
	{ "ParsedFromCheck", FILTER_BOOL });
FIELDS(expose, { "Checks", FILTER_BOOL }, { "Paths", FILTER_LIST_OF, &expose_path });
FIELDS(upstream, { "DestinationType", FILTER_STRING }, { "DestinationNamespace", FILTER_STRING },
	{ "DestinationName", FILTER_STRING }, { "Datacenter", FILTER_STRING },
	{ "LocalBindAddress", FILTER_STRING }, { "LocalBindPort", FILTER_INT },
	{ "MeshGateway", FILTER_STRUCT, &mesh_gateway });
FIELDS(proxy, { "DestinationServiceName", FILTER_STRING },
	{ "DestinationServiceID", FILTER_STRING }, { "LocalServiceAddress", FILTER_STRING },
	{ "LocalServicePort", FILTER_INT }, { "Upstreams", FILTER_LIST_OF, &upstream },
	{ "MeshGateway", FILTER_STRUCT, &mesh_gateway }, { "Expose", FILTER_STRUCT, &expose });
FIELDS(connect, { "Native", FILTER_BOOL });

FIELDS(node, { "ID", FILTER_STRING }, { "Node", FILTER_STRING }, { "Address", FILTER_STRING },
	{ "Datacenter", FILTER_STRING }, { "TaggedAddresses", FILTER_MAP }, { "Meta", FILTER_MAP });

FIELDS(service_node, { "ID", FILTER_STRING }, { "Node", FILTER_STRING },
	{ "Address", FILTER_STRING }, { "Datacenter", FILTER_STRING },
	{ "TaggedAddresses", FILTER_MAP }, { "NodeMeta", FILTER_MAP },
	{ "ServiceKind", FILTER_STRING }, { "ServiceID", FILTER_STRING },
	{ "ServiceName", FILTER_STRING }, { "ServiceTags", FILTER_STRINGS },
	{ "ServiceAddress", FILTER_STRING },
	{ "ServiceTaggedAddresses", FILTER_MAP_OF, &service_address },
	{ "ServiceMeta", FILTER_MAP }, { "ServicePort", FILTER_INT },
	{ "ServiceWeights", FILTER_STRUCT, &weights }, { "ServiceEnableTagOverride", FILTER_BOOL },
	{ "ServiceProxy", FILTER_STRUCT, &proxy }, { "ServiceConnect", FILTER_STRUCT, &connect });

FIELDS(node_service, { "Kind", FILTER_STRING }, { "ID", FILTER_STRING },
	{ "Service", FILTER_STRING }, { "Tags", FILTER_STRINGS }, { "Address", FILTER_STRING },
	{ "TaggedAddresses", FILTER_MAP_OF, &service_address }, { "Meta", FILTER_MAP },
	{ "Port", FILTER_INT }, { "Weights", FILTER_STRUCT, &weights },
	{ "EnableTagOverride", FILTER_BOOL }, { "Proxy", FILTER_STRUCT, &proxy },
	{ "Connect", FILTER_STRUCT, &connect });

FIELDS(health_check, { "Node", FILTER_STRING }, { "CheckID", FILTER_STRING },
	{ "Name", FILTER_STRING }, { "Status", FILTER_STRING }, { "Notes", FILTER_STRING },
	{ "Output", FILTER_STRING }, { "ServiceID", FILTER_STRING },
	{ "ServiceName", FILTER_STRING }, { "ServiceTags", FILTER_STRINGS },
	{ "Type", FILTER_STRING });

FIELDS(check_service_node, { "Node", FILTER_STRUCT, &node },
	{ "Service", FILTER_STRUCT, &node_service }, { "Checks", FILTER_LIST_OF, &health_check });

FIELDS(node_info, { "ID", FILTER_STRING }, { "Node", FILTER_STRING }, { "Address", FILTER_STRING },
	{ "TaggedAddresses", FILTER_MAP }, { "Meta", FILTER_MAP },
	{ "Services", FILTER_LIST_OF, &node_service }, { "Checks", FILTER_LIST_OF, &health_check });

const struct filter_fields *const filter_objects[FILTER_OBJECTS_COUNT] = {
	[FILTER_NODE] = &node,
	[FILTER_SERVICE_NODE] = &service_node,
	[FILTER_NODE_SERVICE] = &node_service,
	[FILTER_HEALTH_CHECK] = &health_check,
	[FILTER_CHECK_SERVICE_NODE] = &check_service_node,
	[FILTER_NODE_INFO] = &node_info,
};
