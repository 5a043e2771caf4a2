/* SPDX-License-Identifier: BSD-3-Clause */
/* A tree of all nodes of the file with their positions, made from libyaml's events. libcyaml reports the position of
 * the last event it took, not of the key at fault, and keeps none of a file it accepted; so positions come from here.
 */
#include "config_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define LINES_MAX_NODES 32768u
#define LINES_MAX_DEPTH 16u
#define LINES_NO_PARENT UINT32_MAX

struct line_node {
    uint32_t parent; /* index of a node */
    uint32_t index;  /* within a list */
    char *key;       /* within a mapping; else NULL */
    uint32_t line, column;
    uint32_t key_line, key_column;
};

struct config_lines {
    struct line_node *nodes; /* in the order of the file: a parent before its children */
    uint32_t n, capacity;
};

/* An open list or mapping. */
struct line_level {
    uint32_t node;
    uint32_t next_index;
    bool mapping;
    char *key; /* read, its value is next */
    uint32_t key_line, key_column;
};

struct line_reader {
    struct config_lines *lines;
    struct config_error *err;
    struct line_level levels[LINES_MAX_DEPTH];
    uint32_t depth;
};

static int lines_fail(struct config_error *err, const yaml_mark_t *mark, const char *message, const char *hint) {
    err->line = (uint32_t)mark->line + 1;
    err->column = (uint32_t)mark->column + 1;
    snprintf(err->message, sizeof(err->message), "%s", message);
    snprintf(err->hint, sizeof(err->hint), "%s", hint ? hint : "");
    return WEIR_EINVAL;
}

static int lines_no_memory(struct config_error *err) {
    snprintf(err->message, sizeof(err->message), "out of memory while reading the configuration");
    return WEIR_ENOMEM;
}

static int node_add(struct line_reader *r, const yaml_mark_t *mark, uint32_t *node) {
    struct config_lines *l = r->lines;
    if (l->n == LINES_MAX_NODES)
        return lines_fail(r->err, mark, "the file has too many entries", "at most 32,768 keys and list entries");
    if (l->n == l->capacity) {
        uint32_t capacity = l->capacity ? 2 * l->capacity : 256;
        struct line_node *grown = realloc(l->nodes, capacity * sizeof(*grown));
        if (!grown)
            return lines_no_memory(r->err);
        l->nodes = grown;
        l->capacity = capacity;
    }
    struct line_node *n = &l->nodes[l->n];
    *n = (struct line_node){
        .parent = LINES_NO_PARENT, .line = (uint32_t)mark->line + 1, .column = (uint32_t)mark->column + 1};
    n->key_line = n->line;
    n->key_column = n->column;
    if (r->depth) {
        struct line_level *level = &r->levels[r->depth - 1];
        n->parent = level->node;
        if (level->mapping) {
            n->key = level->key;
            n->key_line = level->key_line;
            n->key_column = level->key_column;
            level->key = NULL;
        } else {
            n->index = level->next_index++;
        }
    }
    *node = l->n++;
    return 0;
}

static int key_take(struct line_reader *r, const yaml_event_t *e) {
    struct line_level *level = &r->levels[r->depth - 1];
    const char *key = (const char *)e->data.scalar.value;
    for (uint32_t i = level->node + 1; i < r->lines->n; i++) {
        const struct line_node *n = &r->lines->nodes[i];
        if (n->parent != level->node || strcmp(n->key, key) != 0)
            continue;
        char message[192];
        snprintf(message, sizeof(message), "key \"%.64s\" is given twice, first in line %u", key, n->key_line);
        return lines_fail(r->err, &e->start_mark, message, "keep one of them");
    }
    level->key = strdup(key);
    level->key_line = (uint32_t)e->start_mark.line + 1;
    level->key_column = (uint32_t)e->start_mark.column + 1;
    return level->key ? 0 : lines_no_memory(r->err);
}

static int level_open(struct line_reader *r, const yaml_event_t *e, bool mapping) {
    uint32_t node;
    if (r->depth == LINES_MAX_DEPTH)
        return lines_fail(r->err, &e->start_mark, "nested too deeply", NULL);
    int rc = node_add(r, &e->start_mark, &node);
    if (rc < 0)
        return rc;
    r->levels[r->depth++] = (struct line_level){.node = node, .mapping = mapping};
    return 0;
}

static int event_take(struct line_reader *r, const yaml_event_t *e) {
    bool want_key = r->depth && r->levels[r->depth - 1].mapping && !r->levels[r->depth - 1].key;
    uint32_t node;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->lines->n)
            return lines_fail(r->err, &e->start_mark, "a second document starts here", "one document (---) a file");
        return 0;
    case YAML_ALIAS_EVENT:
        return lines_fail(r->err, &e->start_mark, "YAML aliases are not taken", "write the value out");
    case YAML_SCALAR_EVENT:
        if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
            return lines_fail(r->err, &e->start_mark, "a value contains a zero byte", NULL);
        return want_key ? key_take(r, e) : node_add(r, &e->start_mark, &node);
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        if (want_key)
            return lines_fail(r->err, &e->start_mark, "a key has to be a plain word", NULL);
        return level_open(r, e, e->type == YAML_MAPPING_START_EVENT);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        r->depth--;
        return 0;
    default:
        return 0;
    }
}

/* libyaml's text for broken YAML, and what most often lies behind it. */
static int parser_failed(const yaml_parser_t *parser, struct config_error *err) {
    if (parser->error == YAML_MEMORY_ERROR)
        return lines_no_memory(err);
    char message[192];
    snprintf(message, sizeof(message), "not YAML: %s%s%s", parser->problem ? parser->problem : "unreadable",
             parser->context ? " " : "", parser->context ? parser->context : "");
    const char *hint = "check indentation, brackets and quotes here and in the line above";
    if (parser->problem && strstr(parser->problem, "cannot start any token"))
        hint = "indent with spaces, not tabs; quote values that start with @, ` or %";
    return lines_fail(err, &parser->problem_mark, message, hint);
}

static int lines_run(struct line_reader *r, yaml_parser_t *parser) {
    for (bool done = false; !done;) {
        yaml_event_t e;
        if (!yaml_parser_parse(parser, &e))
            return parser_failed(parser, r->err);
        done = e.type == YAML_STREAM_END_EVENT;
        int rc = event_take(r, &e);
        yaml_event_delete(&e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int config_lines_read(const void *data, size_t len_bytes, struct config_lines **out, struct config_error *err) {
    yaml_parser_t parser;
    struct line_reader r = {.lines = calloc(1, sizeof(*r.lines)), .err = err};
    *out = NULL;
    if (!r.lines || !yaml_parser_initialize(&parser)) {
        free(r.lines);
        return lines_no_memory(err);
    }
    yaml_parser_set_input_string(&parser, data, len_bytes);
    int rc = lines_run(&r, &parser);
    yaml_parser_delete(&parser);
    for (uint32_t i = 0; i < r.depth; i++)
        free(r.levels[i].key); /* keys still waiting for a value */
    if (rc < 0) {
        config_lines_free(r.lines);
        return rc;
    }
    *out = r.lines;
    return 0;
}

/* The child of `parent` that the first part of *path names; moves *path past it. LINES_NO_PARENT: none. */
static uint32_t child_find(const struct config_lines *l, uint32_t parent, const char **path) {
    const char *p = *path;
    bool indexed = *p == '[';
    size_t len = indexed ? 0 : strcspn(p, ".[");
    unsigned long index = 0;
    if (indexed) {
        char *end;
        index = strtoul(p + 1, &end, 10);
        len = (size_t)(end - p) + (*end == ']');
    }
    *path = p + len + (p[len] == '.');
    for (uint32_t i = parent + 1; i < l->n; i++) {
        const struct line_node *n = &l->nodes[i];
        if (n->parent != parent)
            continue;
        if (indexed ? !n->key && n->index == index : n->key && !strncmp(n->key, p, len) && !n->key[len])
            return i;
    }
    return LINES_NO_PARENT;
}

void config_lines_find(const struct config_lines *lines, const char *path, bool of_key, uint32_t *line,
                       uint32_t *column) {
    *line = *column = 0;
    if (!lines || !lines->n)
        return;
    uint32_t node = 0, next = 0;
    while (*path && (next = child_find(lines, node, &path)) != LINES_NO_PARENT)
        node = next;
    const struct line_node *n = &lines->nodes[node];
    *line = of_key ? n->key_line : n->line;
    *column = of_key ? n->key_column : n->column;
}

void config_lines_free(struct config_lines *lines) {
    if (!lines)
        return;
    for (uint32_t i = 0; i < lines->n; i++)
        free(lines->nodes[i].key);
    free(lines->nodes);
    free(lines);
}
