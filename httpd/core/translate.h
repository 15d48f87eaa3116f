/* SPDX-License-Identifier: Apache-2.0 */
/*
 * translate_wan_addrs: elements of answers as another data centre sees them. Addresses and ports
 * stand in ready JSON, so that is what is changed (see common/msg/tagged.h for which is taken).
 */
#ifndef MUSTER_HTTPD_CORE_TRANSLATE_H
#define MUSTER_HTTPD_CORE_TRANSLATE_H

#include "httpd/core/filter.h"

/*
 * One element. FILTER_NODE, FILTER_NODE_SERVICE, FILTER_SERVICE_NODE and FILTER_CHECK_SERVICE_NODE
 * have addresses; others come out as they are. The result lives in the arena.
 */
struct str translate(struct arena *arena, enum filter_object object, struct str json);

#endif
