"""Procedural objects with thin parts: legs, handles, spouts, ears, rings, as real things have them.

`procedural.random_object` makes mostly fat unions, from which a model learns to leave out what is thin. Here every
object has a plan: one body and what belongs to it, upright, mirror-symmetric in y but for a stride, facing +x. It is
the same kind of exact union, with the same textures and light.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from instantmesh.data.procedural.thin_shapes import PartKit, Point, turned
from instantmesh.data.procedural.unions import (
    HELD_OUT_SEED,
    ProceduralObject,
    UnionPart,
    mirrored,
    normalised,
    random_light,
    random_object,
)

THIN_PARTS_SEED = 500_000_000  # objects from this seed on have thin parts, and those from `HELD_OUT_SEED` + this on


def object_of_seed(seed: int) -> ProceduralObject:
    """The object of this seed by the recipe of its range: thin parts from `THIN_PARTS_SEED` on."""
    return thin_parts_object(seed) if has_thin_parts(seed) else random_object(seed)


def has_thin_parts(seed: int) -> bool:
    """Whether the object of a seed is one with thin parts."""
    return seed % HELD_OUT_SEED >= THIN_PARTS_SEED


def thin_parts_object(seed: int) -> ProceduralObject:
    """The object with thin parts of this seed: the same on every machine."""
    rng = np.random.default_rng(seed)
    plan = _PLANS[rng.choice(len(_PLANS), p=_PLAN_SHARES)]
    parts = plan(PartKit(rng))
    yaw = rng.choice([0.0, 0.0, 0.0, np.pi, np.pi / 2]) if plan in (_vessel, _furniture, _frame) else 0.0
    parts = [turned(part, yaw) for part in parts]
    light, shade = random_light(rng)
    return ProceduralObject(tuple(normalised(parts, radius=rng.uniform(0.85, 1.0))), light, shade)


def _quadruped(kit: PartKit) -> list[UnionPart]:
    """Four legs under a long body, a neck and a head; ears, horns, a tail."""
    length, width, height = 1.0, kit.uniform(0.24, 0.6), kit.uniform(0.25, 0.6)
    legs = kit.uniform(0.3, 1.2)
    parts = [kit.mass((0, 0, 0), (length, width, height), kit.uniform(-0.12, 0.12))]
    if kit.chance(0.3):  # a chest
        parts.append(kit.ellipsoid((0.5, 0, 0), (0.5, width * 1.05, height * 1.1)))
    thick = kit.uniform(0.09, 0.48) * width * (1.3 if kit.chance(0.3) else 1)
    apart = max(width * kit.uniform(0.5, 0.85), thick + 0.03)
    for x in (kit.uniform(0.5, 0.85), -kit.uniform(0.5, 0.85)):
        parts += _pair_of_legs(kit, x, apart, -0.3 * height, -height - legs, thick, stride=0.25 * legs)
    head = _neck_and_head(kit, base=(0.8 * length, 0.0, 0.3 * height), size=kit.uniform(0.2, 0.42))
    return parts + head + _tail(kit, (-0.93 * length, 0, 0.3 * height), kit.uniform(0.03, 0.1))


def _pair_of_legs(
    kit: PartKit, x: float, apart: float, top: float, bottom: float, thick: float, stride: float
) -> list[UnionPart]:
    """Two legs at y = +-`apart`: straight, tapered, with knees or feet, mirrored or in stride."""
    taper, knee = kit.uniform(0.4, 1.05), kit.uniform(-0.15, 0.15) * kit.chance(0.4)
    spread, has_feet, boxes = kit.uniform(-0.05, 0.12), kit.chance(0.45), kit.chance(0.15)
    lean = kit.uniform(-0.5, 0.5) * stride
    swing = stride * kit.uniform(-1.0, 1.0) * kit.chance(0.3)

    def leg(sign: int) -> list[UnionPart]:
        foot = (x + lean + sign * swing, sign * (apart + spread), bottom + thick * taper)
        middle = (x + knee + (lean + sign * swing) / 2, sign * (apart + spread / 2), (top + foot[2]) / 2)
        hip = (x, sign * apart, top)
        if boxes:
            low = (x, sign * apart, (top + bottom) / 2)
            parts = [kit.box(low, (thick, thick, (top - bottom) / 2))]
        elif knee:
            parts = kit.tube([hip, middle, foot], thick, thick * taper)
        else:
            parts = [kit.limb(hip, foot, thick, thick * taper)]
        if has_feet:
            long = thick * 1.7
            parts.append(kit.ellipsoid((foot[0] + 0.4 * long, foot[1], foot[2]), (long, thick * 1.15, thick * 0.8)))
        return parts

    left = leg(1)
    return left + (_same_colors(leg(-1), left) if swing else [mirrored(part) for part in left])


def _neck_and_head(kit: PartKit, base: Point, size: float) -> list[UnionPart]:
    """A head in front of and above the base, on a neck; a muzzle, ears, horns."""
    reach, rise = kit.uniform(0.1, 0.5), kit.uniform(0.0, 0.8)
    head = (base[0] + reach, 0.0, base[2] + rise + size * 0.5)
    parts = [kit.limb(base, head, size * kit.uniform(0.4, 0.9), size * kit.uniform(0.3, 0.7))]
    parts.append(
        kit.mass(head, (size * kit.uniform(0.8, 1.3), size * kit.uniform(0.6, 1.0), size), kit.uniform(0.0, 0.6))
    )
    if kit.chance(0.6):
        nose = size * kit.uniform(0.3, 0.6)
        tip = (head[0] + size * kit.uniform(0.8, 1.5), 0.0, head[2] - size * kit.uniform(0.0, 0.6))
        parts.append(kit.limb(head, tip, nose * 1.2, nose))
    return parts + _ears(kit, head, size)


def _ears(kit: PartKit, head: Point, size: float) -> list[UnionPart]:
    """Pairs of discs, cones or capsules on the sides and the top of a head."""
    parts: list[UnionPart] = []
    for _ in range(int(kit.rng.choice([0, 1, 2], p=[0.15, 0.5, 0.35]))):
        side, up = kit.uniform(0.3, 0.8) * size, kit.uniform(0.2, 0.9) * size
        root = (head[0] + kit.uniform(-0.5, 0.2) * size, side, head[2] + up)
        long, thick = kit.uniform(0.4, 1.1) * size, kit.uniform(0.08, 0.28) * size
        out = kit.uniform(0.0, 1.0)
        tip = (
            root[0] + kit.uniform(-0.3, 0.3) * size,
            root[1] + out * long,
            root[2] + (1 - out * kit.uniform(0.0, 1.0)) * long,
        )
        shape = kit.rng.integers(3)
        if shape == 0:
            ear: UnionPart = kit.ellipsoid(tip, (thick, long * 0.6, long * kit.uniform(0.4, 0.7)))
        elif shape == 1:
            ear = kit.cone(root, tip, thick * 1.5, thick * 0.3)
        else:
            ear = kit.limb(root, tip, thick, thick * kit.uniform(0.3, 1.1))
        parts += [ear, mirrored(ear)]
    return parts


def _tail(kit: PartKit, root: Point, thick: float) -> list[UnionPart]:
    if kit.chance(0.35):
        return []
    long, turn = kit.uniform(0.3, 0.9), kit.uniform(-1.2, 1.0)
    tip = (root[0] - long * np.cos(turn), 0.0, root[2] + long * np.sin(turn))
    middle = ((root[0] + tip[0]) / 2 - kit.uniform(0.0, 0.2), 0.0, (root[2] + tip[2]) / 2 + kit.uniform(-0.1, 0.2))
    return kit.tube([root, middle, tip], thick, thick * kit.uniform(0.4, 1.2))


def _biped(kit: PartKit) -> list[UnionPart]:
    """Two legs with a gap, a trunk, arms, a head."""
    width, depth, height = kit.uniform(0.25, 0.6), kit.uniform(0.2, 0.55), kit.uniform(0.4, 0.9)
    legs = kit.uniform(0.3, 1.2)
    parts = [kit.mass((0, 0, 0), (depth, width, height))]
    thick = width * kit.uniform(0.2, 0.47)
    apart = thick + kit.uniform(0.02, 0.5) * (width - thick)
    parts += _pair_of_legs(kit, 0.0, apart, -0.7 * height, -height - legs, thick, stride=0.3 * legs)
    shoulder = height * kit.uniform(0.4, 0.75)
    size = kit.uniform(0.2, 0.5)
    if kit.chance(0.85):
        parts += _arms(kit, width * kit.uniform(0.6, 0.9), shoulder, kit.uniform(0.05, 0.16))
    head = (kit.uniform(-0.05, 0.15), 0.0, height + size * kit.uniform(0.5, 1.3))
    parts.append(kit.limb((0, 0, 0.5 * height), head, size * kit.uniform(0.3, 0.9), size * kit.uniform(0.3, 0.9)))
    parts.append(kit.mass(head, (size * kit.uniform(0.8, 1.1), size, size * kit.uniform(0.9, 1.8))))
    if kit.chance(0.4):
        tip = (head[0] + size * kit.uniform(1.0, 1.6), 0.0, head[2] + size * kit.uniform(-0.4, 0.2))
        parts.append(kit.limb(head, tip, 0.3 * size, size * kit.uniform(0.1, 0.3)))
    return parts + (_ears(kit, head, size) if kit.chance(0.5) else [])


def _arms(kit: PartKit, side: float, shoulder: float, thick: float) -> list[UnionPart]:
    """Out, down or forwards, with elbows and hands."""
    down, forward, long = kit.uniform(-0.7, 1.4), kit.uniform(-0.3, 0.9) * kit.chance(0.5), kit.uniform(0.4, 1.0)
    elbow = (0.0, side + 0.5 * long * np.cos(down) + thick, shoulder - 0.5 * long * np.sin(down))
    bend = kit.uniform(-0.6, 0.6)
    hand = (
        forward * long,
        elbow[1] + 0.5 * long * np.cos(down + bend) * (1 - 0.6 * abs(forward)),
        elbow[2] - 0.5 * long * np.sin(down + bend),
    )
    arm = kit.tube([(0.0, side, shoulder), elbow, hand], thick, thick * kit.uniform(0.5, 1.1))
    if kit.chance(0.5):
        arm.append(kit.ellipsoid(hand, (thick * 1.3, thick * 1.4, thick * kit.uniform(0.8, 1.6))))
    return arm + [mirrored(part) for part in arm]


def _vessel(kit: PartKit) -> list[UnionPart]:
    """A pot, jug or cup with handles, spout, knob and foot."""
    height, radius = kit.uniform(0.45, 1.1), kit.uniform(0.5, 0.95)
    z = np.linspace(-1, 1, 11)
    bulge = np.sqrt(np.maximum(1 - (z * kit.uniform(0.5, 0.95)) ** 2, 0.02))
    profile = np.stack([radius * (bulge + kit.uniform(-0.25, 0.25) * z), z * height], 1)
    profile[:, 0] = np.maximum(profile[:, 0], 0.12 * radius)
    hollow = kit.chance(0.35)
    if hollow:
        wall = kit.uniform(0.05, 0.12)
        inner = profile[3:] - (wall, 0)
        outline = np.concatenate([[(0, -height)], profile, inner[::-1], [(0, inner[0, 1])]])
    else:
        outline = np.concatenate([[(0, -height)], profile, [(0, height)]])
    parts = [kit.upright(outline, (0, 0, 0))]
    if not hollow and kit.chance(0.7):  # a lid and its knob
        parts.append(kit.ellipsoid((0, 0, height), (profile[-1, 0], profile[-1, 0], kit.uniform(0.02, 0.2))))
        stem = height + kit.uniform(0.1, 0.25)
        parts.append(kit.limb((0, 0, height), (0, 0, stem), kit.uniform(0.03, 0.08)))
        knob = kit.uniform(0.06, 0.16)
        parts.append(kit.ellipsoid((0, 0, stem), (knob, knob, kit.uniform(0.04, 0.1))))
    if kit.chance(0.4):
        parts.append(kit.ring((0, 0, -height), profile[0, 0], kit.uniform(0.03, 0.08), axis=2))

    def wall_at(share: float) -> Point:
        return (float(np.interp(share * height, profile[:, 1], profile[:, 0])) - 0.03, 0.0, share * height)

    handle = _handle(kit, wall_at(kit.uniform(0.3, 0.9)), wall_at(kit.uniform(-0.8, 0.0))) if kit.chance(0.9) else []
    parts += [turned(part, np.pi) for part in handle]
    if kit.chance(0.55):
        parts += _spout(kit, wall_at(kit.uniform(-0.5, 0.2)), height)
    elif kit.chance(0.4):
        parts += handle
    return parts


def _handle(kit: PartKit, top: Point, bottom: Point) -> list[UnionPart]:
    """A bow in the plane y = 0, between two points of a wall, bulging towards +x."""
    out, thick, squareness = kit.uniform(0.25, 0.75), kit.uniform(0.035, 0.12), kit.uniform(0.4, 1.0)
    angle = np.linspace(0, np.pi, 8)
    bow = out * np.sin(angle) ** squareness
    share = (1 - np.cos(angle)) / 2
    lift = kit.uniform(-0.1, 0.2) * np.sin(angle)
    path = [
        ((1 - s) * top[0] + s * bottom[0] + b, 0.0, (1 - s) * top[2] + s * bottom[2] + u)
        for s, b, u in zip(share.tolist(), bow.tolist(), lift.tolist(), strict=True)
    ]
    return kit.tube(path, thick, thick * kit.uniform(0.7, 1.1))


def _spout(kit: PartKit, root: Point, height: float) -> list[UnionPart]:
    """Towards +x and up, straight or in an S."""
    inside = (root[0] - 0.15, 0.0, root[2])
    tip = (root[0] + kit.uniform(0.35, 1.1), 0.0, height * kit.uniform(0.3, 1.1))
    thick = kit.uniform(0.07, 0.25)
    if kit.chance(0.4):
        return [kit.cone(inside, tip, thick, thick * kit.uniform(0.3, 0.7))]
    low = (root[0] + 0.5 * (tip[0] - root[0]), 0.0, root[2] + kit.uniform(0.0, 0.35) * (tip[2] - root[2]))
    high = (root[0] + 0.72 * (tip[0] - root[0]), 0.0, root[2] + kit.uniform(0.5, 0.9) * (tip[2] - root[2]))
    return kit.tube([inside, low, high, tip], thick, thick * kit.uniform(0.3, 0.6))


def _furniture(kit: PartKit) -> list[UnionPart]:
    """Tables, stools, chairs with backs, lamps: plates on thin legs."""
    x, y, half = kit.uniform(0.4, 1.0), kit.uniform(0.4, 1.0), kit.uniform(0.03, 0.12)
    legs, thick = kit.uniform(0.5, 1.3), kit.uniform(0.035, 0.12)
    if kit.chance(0.25):  # one foot
        parts = [
            kit.limb((0, 0, 0), (0, 0, -legs), thick * 1.3),
            kit.cone((0, 0, -legs), (0, 0, -legs - half), x * 0.6, x * 0.7),
        ]
        shade = kit.uniform(0.3, 0.9)
        return [*parts, kit.cone((0, 0, 0), (0, 0, shade), x * 0.8, x * kit.uniform(0.2, 0.9))]
    if kit.chance(0.3):
        plate, seats = kit.cone((0, 0, -half), (0, 0, half), x, x), [(x * 0.65, x * 0.65), (-x * 0.65, x * 0.65)]
        y = x
    else:
        plate, seats = kit.box((0, 0, 0), (x, y, half)), [(x - thick, y - thick), (thick - x, y - thick)]
    parts = [plate]
    spread = kit.uniform(0.0, 0.25) * kit.chance(0.4)
    for a, b in seats:
        leg = kit.limb((a, b, 0), (a * (1 + spread), b * (1 + spread), -legs), thick, thick * kit.uniform(0.5, 1.0))
        parts += [leg, mirrored(leg)]
    if kit.chance(0.55):  # a back of a plate on two posts, or a whole one
        back, rise = -x + thick, kit.uniform(0.5, 1.2)
        post = kit.limb((back, y * 0.85, 0), (back - 0.1, y * 0.85, rise), thick * 0.8)
        parts += [post, mirrored(post)]
        low = kit.uniform(0.0, 0.8) * rise
        parts.append(kit.box((back - 0.05, 0, (low + rise) / 2), (half * 0.7, y * 0.85, (rise - low) / 2)))
    return parts


def _head(kit: PartKit) -> list[UnionPart]:
    """A big head with ears, a nose and a brow, on a neck or a bust; ducks' bills too."""
    size = 0.7
    parts = [kit.mass((0, 0, 0), (size * kit.uniform(0.8, 1.2), size * kit.uniform(0.7, 1.2), size))]
    parts += _ears(kit, (0, 0, 0), size) + _ears(kit, (0, kit.uniform(0.0, 0.2), -0.2), size * 1.2)
    tip = (size * kit.uniform(1.1, 1.7), 0.0, kit.uniform(-0.4, 0.2))
    parts.append(kit.limb((0.3, 0, tip[2]), tip, size * kit.uniform(0.2, 0.5), size * kit.uniform(0.1, 0.35)))
    neck = kit.uniform(0.6, 1.4)
    parts.append(kit.limb((0, 0, -0.3), (kit.uniform(-0.2, 0.3), 0, -neck), size * kit.uniform(0.2, 0.5)))
    if kit.chance(0.5):
        parts.append(
            kit.mass((kit.uniform(-0.4, 0.1), 0, -neck - 0.3), (kit.uniform(0.4, 1.1), kit.uniform(0.4, 0.8), 0.4))
        )
    return parts


def _frame(kit: PartKit) -> list[UnionPart]:
    """Rings, wheels and arches with clear holes, upright or lying, on a foot or on legs."""
    thick = kit.uniform(0.05, 0.14)
    parts = [kit.ring((0, 0, 0), kit.uniform(0.5, 0.8), thick, axis=int(kit.rng.integers(3)))]
    if kit.chance(0.5):
        parts.append(
            kit.ring((0, 0, kit.uniform(-0.3, 0.5)), kit.uniform(0.3, 0.8), thick, axis=int(kit.rng.integers(3)))
        )
    if kit.chance(0.6):
        parts.append(kit.limb((0, 0, kit.uniform(-0.7, 0.5)), (0, 0, -1.1), thick))
        parts.append(kit.cone((0, 0, -1.2), (0, 0, -1.1), kit.uniform(0.3, 0.6), kit.uniform(0.2, 0.5)))
    else:
        parts += _pair_of_legs(kit, 0.0, kit.uniform(0.3, 0.6), -0.4, -1.1, thick, stride=0.2)
    if kit.chance(0.5):
        parts.append(kit.mass((0, 0, 0), (kit.uniform(0.15, 0.4), kit.uniform(0.15, 0.4), kit.uniform(0.2, 0.5))))
    if kit.chance(0.5):
        bar = kit.limb((0, 0, kit.uniform(-0.2, 0.6)), (0, kit.uniform(0.6, 1.0), kit.uniform(-0.2, 0.9)), thick)
        parts += [bar, mirrored(bar)]
    return parts


def _same_colors(parts: list[UnionPart], originals: list[UnionPart]) -> list[UnionPart]:
    return [replace(part, texture=original.texture) for part, original in zip(parts, originals, strict=True)]


_PLANS: tuple[Callable[[PartKit], list[UnionPart]], ...] = (_quadruped, _biped, _vessel, _furniture, _head, _frame)
_PLAN_SHARES = (0.28, 0.24, 0.22, 0.1, 0.08, 0.08)
