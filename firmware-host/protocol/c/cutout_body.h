/* Reading the body of an answer. Included by cutout_wire.h.
 *
 *   struct cutout_items items = {body, total};
 *   struct cutout_item item;
 *   while (cutout_next_item(&items, &item) == CUTOUT_OK)
 *       if (item.kind == CUTOUT_ITEM_BBOX && cutout_read_bbox(&item, &bbox) == CUTOUT_OK) ...
 *
 * The readers of items give CUTOUT_OK for each part, then CUTOUT_END, or what is wrong.
 */
#ifndef CUTOUT_BODY_H
#define CUTOUT_BODY_H

/* A number of varying length from the front of a reader; at most five bytes, and none more than needed. */
static inline uint64_t cutout_get_leb(struct cutout_reader *r) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 5; i++) {
        const uint8_t *byte = cutout_take(r, 1);
        if (byte == NULL) return 0;
        value |= (uint64_t)(*byte & 0x7fu) << (7 * i);
        if (*byte < 0x80) {
            if (*byte == 0 && i > 0) r->outcome = CUTOUT_NUMBER;
            return value;
        }
    }
    r->outcome = CUTOUT_NUMBER;
    return 0;
}

static inline int64_t cutout_unzigzag(uint64_t value) {
    return (value & 1) != 0 ? -(int64_t)(value >> 1) - 1 : (int64_t)(value >> 1);
}

struct cutout_items { const uint8_t *at; size_t left; };
struct cutout_item { uint8_t kind; struct cutout_rest bytes; };

static inline enum cutout_outcome cutout_next_item(struct cutout_items *items, struct cutout_item *item) {
    struct cutout_reader r = {items->at, items->left, CUTOUT_OK};
    if (r.left == 0) return CUTOUT_END;
    item->kind = (uint8_t)cutout_get_number(&r, 1);
    uint64_t length = cutout_get_leb(&r);
    if (r.outcome == CUTOUT_OK && length > r.left) r.outcome = CUTOUT_SHORT;
    item->bytes.length = (size_t)length;
    item->bytes.data = cutout_take(&r, (size_t)length);
    items->at = r.at, items->left = r.outcome == CUTOUT_OK ? r.left : 0;
    return r.outcome;
}

struct cutout_bbox { uint16_t x, y, width, height; };  /* pixels */
struct cutout_centroid { uint32_t x, y; };             /* sixteenths of a pixel */

static inline enum cutout_outcome cutout_ended(const struct cutout_reader *r) {
    return r->outcome == CUTOUT_OK && r->left > 0 ? CUTOUT_TRAILING : r->outcome;
}

static inline struct cutout_reader cutout_read_item(const struct cutout_item *item) {
    struct cutout_reader r = {item->bytes.data, item->bytes.length, CUTOUT_OK};
    return r;
}

static inline enum cutout_outcome cutout_read_bbox(const struct cutout_item *item, struct cutout_bbox *bbox) {
    struct cutout_reader r = cutout_read_item(item);
    bbox->x = (uint16_t)cutout_get_number(&r, 2);
    bbox->y = (uint16_t)cutout_get_number(&r, 2);
    bbox->width = (uint16_t)cutout_get_number(&r, 2);
    bbox->height = (uint16_t)cutout_get_number(&r, 2);
    return cutout_ended(&r);
}

static inline enum cutout_outcome cutout_read_centroid(const struct cutout_item *item, struct cutout_centroid *centroid) {
    struct cutout_reader r = cutout_read_item(item);
    centroid->x = (uint32_t)cutout_get_number(&r, 4);
    centroid->y = (uint32_t)cutout_get_number(&r, 4);
    return cutout_ended(&r);
}

static inline enum cutout_outcome cutout_read_area(const struct cutout_item *item, uint32_t *pixels) {
    struct cutout_reader r = cutout_read_item(item);
    *pixels = (uint32_t)cutout_get_number(&r, 4);
    return cutout_ended(&r);
}

/* A mask, row by row: `length` pixels of row y from column x on. */
struct cutout_span { uint32_t y, x, length; };
struct cutout_rle { struct cutout_reader r; uint32_t width, height, older, newer, at, inside; bool begun; };

static inline enum cutout_outcome cutout_read_rle(const struct cutout_item *item, struct cutout_rle *rle) {
    memset(rle, 0, sizeof *rle);
    rle->r = cutout_read_item(item);
    uint64_t width = cutout_get_leb(&rle->r);
    if (rle->r.outcome == CUTOUT_OK && width > 65535) rle->r.outcome = CUTOUT_NUMBER;
    uint64_t height = cutout_get_leb(&rle->r);
    if (rle->r.outcome == CUTOUT_OK && height > 65535) rle->r.outcome = CUTOUT_NUMBER;
    rle->width = (uint32_t)width, rle->height = (uint32_t)height;
    return rle->r.outcome;
}

static inline uint32_t cutout_run(struct cutout_rle *rle) {
    int64_t length = cutout_unzigzag(cutout_get_leb(&rle->r)) + rle->older;
    if (rle->r.outcome == CUTOUT_OK && (length < 0 || length > UINT32_MAX)) rle->r.outcome = CUTOUT_RUNS;
    if (rle->r.outcome != CUTOUT_OK) return 0;
    rle->older = rle->newer;
    rle->newer = (uint32_t)length;
    return rle->newer;
}

static inline enum cutout_outcome cutout_next_span(struct cutout_rle *rle, struct cutout_span *span) {
    if (rle->r.outcome != CUTOUT_OK) return rle->r.outcome;
    if (rle->inside == 0) {
        if (rle->r.left == 0) return CUTOUT_END;
        uint64_t outside = cutout_run(rle), inside = cutout_run(rle), start = rle->at + outside;
        if (rle->r.outcome != CUTOUT_OK) return rle->r.outcome;
        if (inside == 0 || (outside == 0 && rle->begun) || start + inside > (uint64_t)rle->width * rle->height)
            return rle->r.outcome = CUTOUT_RUNS;
        rle->begun = true, rle->at = (uint32_t)start, rle->inside = (uint32_t)inside;
    }
    span->y = rle->at / rle->width, span->x = rle->at % rle->width;
    span->length = rle->width - span->x < rle->inside ? rle->width - span->x : rle->inside;
    rle->at += span->length, rle->inside -= span->length;
    return CUTOUT_OK;
}

/* Polygons, point by point. `first`: the point begins a ring, of which `hole` tells. Rings without points are passed over. */
struct cutout_corner { uint16_t x, y; bool first, hole; };
struct cutout_contour { struct cutout_reader r; uint16_t iou; bool hole, first; uint64_t rings, points; int64_t x, y; };

static inline enum cutout_outcome cutout_read_contour(const struct cutout_item *item, struct cutout_contour *contour) {
    memset(contour, 0, sizeof *contour);
    contour->r = cutout_read_item(item);
    contour->iou = (uint16_t)cutout_get_number(&contour->r, 2);
    contour->rings = cutout_get_leb(&contour->r);
    return contour->r.outcome;
}

static inline enum cutout_outcome cutout_next_corner(struct cutout_contour *c, struct cutout_corner *corner) {
    while (c->r.outcome == CUTOUT_OK && c->points == 0) {
        if (c->rings == 0) return c->r.left > 0 ? (c->r.outcome = CUTOUT_TRAILING) : CUTOUT_END;
        uint64_t hole = cutout_get_number(&c->r, 1);
        c->points = cutout_get_leb(&c->r);
        if (c->r.outcome == CUTOUT_OK && (hole > 1 || c->points > UINT32_MAX)) c->r.outcome = CUTOUT_NUMBER;
        c->rings--, c->hole = hole == 1, c->first = true, c->x = 0, c->y = 0;
    }
    uint64_t x = cutout_get_leb(&c->r), y = cutout_get_leb(&c->r);
    if (c->r.outcome != CUTOUT_OK) return c->r.outcome;
    c->x = c->first ? (int64_t)x : c->x + cutout_unzigzag(x);
    c->y = c->first ? (int64_t)y : c->y + cutout_unzigzag(y);
    if (c->x < 0 || c->x > 65535 || c->y < 0 || c->y > 65535) return c->r.outcome = CUTOUT_NUMBER;
    corner->x = (uint16_t)c->x, corner->y = (uint16_t)c->y, corner->first = c->first, corner->hole = c->hole;
    c->points--, c->first = false;
    return CUTOUT_OK;
}

#endif
