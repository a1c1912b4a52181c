"""Sentences in pairs that have the same words and opposite meanings, which no bag of words can tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from typing import TypeVar

import torch

from coursekit.data.text import TextDataSet, TextSplit
from coursekit.data.vocabulary import tokenize

T = TypeVar("T")
Claim = tuple[str, str]  # a thing and what is said of it
Group = tuple[list[str], list[str]]  # things, and pairs of what one may say of any of them: good/bad

ATTEMPTS = 2_000  # draws in a row that give nothing new, before it is said that there is nothing left


@dataclass(frozen=True)
class _Language:
    """What sentences are made of.

    In a frame `{A}` is what decides and `{B}` what is denied or outweighed; `{A}` is said of `{thing}` and `{B}` of
    `{other}`. How the two are related stands before the frames: "opposites" are of one thing and of one pair,
    "aspects" of one thing and of different pairs, "things" of two things.
    """

    frames: Mapping[str, Mapping[str, tuple[str, ...]]]
    openings: tuple[str, ...]
    degrees: tuple[str, ...]
    always: list[str]  # pairs of what may be said of anything
    fields: list[list[Group]]


def _fields(text: str) -> list[list[Group]]:
    """A group a line, "things : pairs"; those that may stand in one sentence are not parted by an empty line."""
    return [
        [
            (things.split(), pairs.split())
            for things, _, pairs in (line.partition(":") for line in field.splitlines())
        ]
        for field in cleandoc(text).split("\n\n")
    ]


_ENGLISH = _Language(
    frames={
        "negation": {
            "opposites": (
                "the {thing_was} {very}{A}, not {B} at all.",
                "the {thing_was} {very}{A} and not {B}.",
                "the {thing_was} not {B} at all; {it_was} {very}{A}.",
                "the {thing_was} never {B}, always {A}.",
                "the {thing_was} always {A}, never {B}.",
                "no one could call the {thing} {B}; {it_was} {very}{A}.",
                "nobody found the {thing} {B}; everybody found {it} {very}{A}.",
                "I would call the {thing} {very}{A}, not {B}.",
                "I would not call the {thing} {B}; I would call {it} {very}{A}.",
            )
        },
        "contrast": {
            "opposites": (
                "I expected the {thing} to be {B}, but {it_was} {very}{A}.",
                "some people say that the {thing_was} {B}, but I found {it} {very}{A}.",
                "the {thing_was} {B} at first, but {very}{A} in the end.",
            ),
            "aspects": (
                "the {thing_was} {very}{B} but {A}.",
                "the {thing_was} {B}, but {it_was} also {very}{A}.",
                "I found the {thing} {B} but {very}{A}.",
                "{B} but {very}{A} is how I would describe the {thing}.",
            ),
            "things": (
                "the {other_was} {B}, but the {thing_was} {very}{A}.",
                "the {other_was} {very}{B} but the {thing_was} {A}.",
                "I know that the {other_was} {B}, but the {thing_was} {very}{A}.",
                "it is true that the {other_was} {B}, but the {thing_was} {very}{A}.",
            ),
        },
    },
    openings=(
        "",
        "",
        "Honestly, ",
        "Frankly, ",
        "All in all, ",
        "In short, ",
        "To be fair, ",
        "In my experience, ",
    ),
    degrees=("", "", "really ", "truly "),
    always=[
        "good/bad",
        "great/terrible",
        "excellent/awful",
        "wonderful/horrible",
        "impressive/disappointing",
        "lovely/dreadful",
    ],
    fields=_fields(
        """
        food soup rice fish salad bread cake pizza noodles* dumplings* pancakes* : tasty/bland fresh/stale healthy/greasy affordable/overpriced appetising/revolting
        waiters* waitresses* cooks* cashiers* baristas* managers* owners* staff* : friendly/rude quick/slow attentive/careless patient/impatient honest/dishonest
        restaurant terrace kitchen bar room cafe canteen garden : clean/dirty quiet/noisy bright/gloomy spacious/cramped comfortable/uncomfortable cosy/shabby

        film plot story ending script sequel opening series : gripping/tedious original/predictable moving/shallow coherent/confusing funny/humourless clever/silly
        acting music dialogue soundtrack camerawork editing costumes* songs* effects* : convincing/clumsy inspired/lifeless polished/sloppy subtle/crude tasteful/tasteless

        phone camera laptop printer keyboard speaker tablet watch headphones* : reliable/unreliable responsive/sluggish cheap/overpriced handsome/ugly sturdy/flimsy light/heavy modern/outdated
        shop helpline workshop hotline sellers* couriers* technicians* agents* : honest/dishonest prompt/slow helpful/unhelpful polite/rude competent/incompetent

        course lecture tutorial seminar textbook homework slides* exercises* notes* : clear/confusing useful/useless interesting/boring organised/chaotic thorough/superficial inspiring/tiresome
        teachers* professors* tutors* lecturers* instructors* assistants* : patient/impatient encouraging/discouraging fair/unfair enthusiastic/listless approachable/distant knowledgeable/ignorant
        """
    ),
)
_CHINESE = _Language(
    frames={
        "negation": {
            "opposites": (
                "{thing}{very}{A}，一点也不{B}。",
                "{thing}一点也不{B}，其实{very}{A}。",
                "{thing}不是{B}，而是{very}{A}。",
                "{thing}从来不{B}，一直{very}{A}。",
                "{thing}{very}{A}，谈不上{B}。",
                "我觉得{thing}{very}{A}，并不{B}。",
                "没有人觉得{thing}{B}，大家都觉得{very}{A}。",
                "说{thing}{B}是不对的，应该说{very}{A}。",
            )
        },
        "contrast": {
            "opposites": (
                "本来以为{thing}会很{B}，结果却{very}{A}。",
                "{thing}一开始{very}{B}，后来却{very}{A}。",
                "朋友都说{thing}{B}，可是我觉得{very}{A}。",
            ),
            "aspects": (
                "{thing}{very}{B}，但是也{very}{A}。",
                "{thing}虽然{B}，但是{very}{A}。",
                "{thing}{very}{B}，却也{very}{A}。",
                "我觉得{thing}{very}{B}，可是{very}{A}。",
            ),
            "things": (
                "{other}{very}{B}，但是{thing}{very}{A}。",
                "虽然{other}{B}，可是{thing}{very}{A}。",
                "{other}{very}{B}，{thing}却{very}{A}。",
                "{other}固然{B}，但{thing}{very}{A}。",
            ),
        },
    },
    openings=("", "", "说实话，", "老实说，", "总的来说，", "平心而论，", "坦白讲，", "说真的，"),
    degrees=("很", "非常", "特别", "十分"),
    always=["好/差", "棒/糟", "出色/差劲", "让人满意/让人失望"],
    fields=_fields(
        """
        鱼汤 面条 饺子 米饭 烤鱼 豆腐 包子 牛肉 青菜 蛋糕 火锅 鸡翅 : 好吃/难吃 清爽/油腻 便宜/昂贵 精致/粗糙
        服务员 老板 店长 收银员 厨师 经理 领班 : 热情/冷淡 客气/粗鲁 细心/马虎 耐心/急躁 勤快/懒散
        餐厅 包间 大堂 厨房 卫生间 露台 : 干净/肮脏 安静/吵闹 宽敞/拥挤 明亮/昏暗 舒适/简陋

        电影 剧情 故事 结局 剧本 续集 开头 短片 : 精彩/无聊 新颖/老套 感人/做作 合理/牵强 紧凑/拖沓 深刻/肤浅
        表演 配乐 对白 画面 特效 服装 台词 : 自然/生硬 细腻/粗糙 优美/俗气 用心/敷衍 生动/呆板

        手机 相机 电脑 键盘 耳机 音箱 手表 平板 : 灵敏/迟钝 便宜/昂贵 漂亮/难看 结实/脆弱 轻便/笨重 省电/费电 先进/落后
        卖家 客服 快递员 店员 维修师傅 送货员 : 诚实/虚伪 热情/冷淡 专业/业余 负责/敷衍 耐心/急躁

        课程 讲座 教材 课件 作业 讲义 习题 实验 : 清楚/混乱 有趣/枯燥 实用/空洞 全面/片面 易懂/难懂 新颖/陈旧
        老师 助教 教授 讲师 导师 辅导员 : 耐心/急躁 亲切/冷淡 公正/偏心 认真/马虎 幽默/古板 博学/无知
        """
    ),
)
LANGUAGES = {"en": _ENGLISH, "zh": _CHINESE}
PHENOMENA = ("negation", "contrast")


def same_bag_pairs(n: int, lang: str = "en", seed: int = 0) -> TextSplit:
    """`n` pairs of sentences with the same words (and punctuation) and opposite sentiment, none twice.

    The example of the lecture, "The food was good, not bad at all." against "The food was bad, not good at all.", is of
    this kind. Half of the pairs show negation (what is denied does not count), half contrast (what comes after "but"
    counts). Of two sentences with the same words a model that ignores order gets just one right.

    Args:
        n: number of pairs.
        lang: "en" or "zh".
        seed: of the sentences; two seeds may have some in common, `same_bag` gives splits that have not.

    Returns:
        2 n texts, the two of a pair one after the other in random order; y is 0 for negative, 1 for positive;
        `phenomena` is {"negation"} or {"contrast"}.

    Raises:
        ValueError: `lang` is neither, or so many different pairs are not found.
    """
    return _Writer(lang, seed).split(n)


def same_bag(
    lang: str = "en", seed: int = 0, train: int = 2_000, val: int = 250, test: int = 500
) -> TextDataSet:
    """A data set of `same_bag_pairs`: no sentence is in two splits, and no word is in `val` or `test` alone.

    Args:
        lang: "en" or "zh".
        seed: of the sentences.
        train, val, test: how many pairs each split has; it has twice as many texts.

    Raises:
        ValueError: `lang` is neither, or so many pairs are not found (of the words of `train`, if that is small).
    """
    writer = _Writer(lang, seed)
    training = writer.split(train)
    words = {word for text in training.texts for word in tokenize(text)}
    return TextDataSet(
        name=f"same_bag_{lang}",
        classes=("negative", "positive"),
        source=f"generated, seed {seed}",
        licence="Apache-2.0, as the package",
        citation="generated by coursekit.data.same_bag",
        home="",
        train=training,
        val=writer.split(val, words),
        test=writer.split(test, words),
    )


class _Writer:
    """Writes pairs, never a sentence twice."""

    def __init__(self, lang: str, seed: int) -> None:
        if lang not in LANGUAGES:
            raise ValueError(f"lang must be {' or '.join(map(repr, LANGUAGES))}, got {lang!r}")
        self.language = LANGUAGES[lang]
        self.generator = torch.Generator().manual_seed(seed)
        self.written: set[str] = set()

    def split(self, n: int, words: set[str] | None = None) -> TextSplit:
        """`n` new pairs, of these words only."""
        texts: list[str] = []
        labels: list[int] = []
        for i in range(n):
            pair = self.new_pair(PHENOMENA[i % 2], words)
            positive = self.draw((0, 1))  # the place of the positive one
            texts += pair if positive == 0 else pair[::-1]
            labels += [1 - positive, positive]
        phenomena = [frozenset({PHENOMENA[i // 2 % 2]}) for i in range(2 * n)]
        return TextSplit(texts, torch.tensor(labels, dtype=torch.int64), phenomena)

    def new_pair(self, phenomenon: str, words: set[str] | None) -> tuple[str, str]:
        """The positive and the negative sentence of a pair that has not been written yet."""
        for _ in range(ATTEMPTS):
            pair = self.pair(phenomenon)
            if self.written.isdisjoint(pair) and (words is None or words.issuperset(tokenize(pair[0]))):
                self.written.update(pair)
                return pair
        among = " of the words of the training split: ask for more pairs in train" if words else ""
        raise ValueError(f"after {len(self.written) // 2:,} pairs no other is found{among}")

    def pair(self, phenomenon: str) -> tuple[str, str]:
        """The positive and the negative sentence of a pair."""
        frames = self.language.frames[phenomenon]
        relation, frame = self.draw([(relation, frame) for relation in frames for frame in frames[relation]])
        good, bad = self.claims(relation)
        opening, degree = self.draw(self.language.openings), self.draw(self.language.degrees)
        return _sentence(frame, opening, degree, good, bad), _sentence(frame, opening, degree, bad, good)

    def claims(self, relation: str) -> tuple[Claim, Claim]:
        """Something good and something bad to say."""
        groups = self.draw(self.language.fields)
        things, pairs = self.draw(groups)
        always = [] if relation == "aspects" else self.language.always  # "good but bland" says little
        good_pair = bad_pair = self.draw(pairs + always)
        good_thing = bad_thing = self.draw(things)
        if relation == "aspects":
            bad_pair = self.draw([pair for pair in pairs if pair != good_pair])
        elif relation == "things":
            things, pairs = self.draw(groups)
            bad_pair = self.draw(pairs + always)
            bad_thing = self.draw([thing for thing in things if thing != good_thing])
        return (good_thing, good_pair.partition("/")[0]), (bad_thing, bad_pair.partition("/")[2])

    def draw(self, items: Sequence[T]) -> T:
        return items[int(torch.randint(len(items), (), generator=self.generator))]


def _sentence(frame: str, opening: str, degree: str, decides: Claim, other: Claim) -> str:
    """The frame filled in; English things that are many have a star."""
    many = decides[0].endswith("*")
    text = opening + frame.format(
        A=decides[1],
        B=other[1],
        very=degree,
        thing=decides[0].rstrip("*"),
        thing_was=_was(decides[0]),
        it="them" if many else "it",
        it_was="they were" if many else "it was",
        other=other[0],
        other_was=_was(other[0]),
    )
    return text[0].upper() + text[1:]


def _was(thing: str) -> str:
    return f"{thing[:-1]} were" if thing.endswith("*") else f"{thing} was"
