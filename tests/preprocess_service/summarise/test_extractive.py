"""Choosing words: in order, pins kept, hollow words first."""

from hypothesis import given
from hypothesis import strategies as st

from preprocess_service import tokens
from preprocess_service.core import Prompt
from preprocess_service.protect import Protector
from preprocess_service.settings import embedded_tokenizer
from preprocess_service.summarise.extractive import compress
from preprocess_service.summarise.units import chunks_of, words_of

TOKENIZER = tokens.load(embedded_tokenizer())


def shortened(text: str, target: int, *keywords: str) -> str:
    return compress(Prompt.of(text), target=target, tokenizer=TOKENIZER, pins=Protector(keywords).pins(text))[0].text


def test_openings_go_first() -> None:
    assert shortened("The video shows a red ball that rolls to the left.", 12) == "a red ball that rolls to the left."
    assert (
        shortened("The video opens with a red ball that rolls to the left.", 12) == "a red ball that rolls to the left."
    )


def test_hollow_words_go_before_things() -> None:
    text = "A beautiful and stunning red ball rolls gracefully over the lush, verdant green grass, creating a serene atmosphere."
    short = shortened(text, TOKENIZER.count(text) - 12)
    assert "red ball" in short
    assert "atmosphere" not in short


def test_praise_goes_even_from_the_first_clause() -> None:
    text = (
        "A breathtaking view of a red fort on a steep cliff, truly magnificent in the evening light above the calm sea."
    )
    short = shortened(text, TOKENIZER.count(text) - 8)
    assert "red fort" in short
    assert "breathtaking" not in short
    assert "magnificent" not in short


def test_no_word_is_left_alone_between_two_stops() -> None:
    text = (
        "Rendered in stunning detail, the sequence shows masterful craftsmanship and a refined artistic vision. High dynamic range, "
        "crisp focus and rich tonal contrast bring out the purity of the design. We see a single purple bar in front of a plain "
        "black background. As the shot unfolds, it drifts toward the right side."
    )
    sentences = shortened(text, 39).rstrip(".").split(". ")
    assert all(len(sentence.split()) > 1 for sentence in sentences)


def test_a_phrase_that_never_said_more_is_no_stump() -> None:
    text = (
        "A tall old man in a green coat walks slowly along a narrow stone bridge. In the background, a boat. "
        "Two white swans glide under the bridge, leaving long ripples on the dark water behind them."
    )
    assert "boat" in shortened(text, 29)


def test_a_pin_in_the_last_sentence_stays() -> None:
    text = "A dog runs on a beach. " * 6 + "In the far distance there is a zeppelin."
    assert "zeppelin" in shortened(text, 24, "zeppelin")


def test_chinese_is_cut_between_clauses() -> None:
    text = "一只红色的小猫在雪地里奔跑，背景是高山和森林，营造出一种宁静祥和的氛围，令人心旷神怡。"
    short = shortened(text, TOKENIZER.count(text) // 2)
    assert short.startswith("一只红色的小猫")
    assert "氛围" not in short
    assert short[-1] not in "，、"


@given(st.text(alphabet="ab, .;with and-ing猫，。", max_size=80))
def test_chunks_cover_the_words_once(text: str) -> None:
    words = words_of(text)
    covered = [i for chunk in chunks_of(words) for i in range(chunk.first, chunk.last)]
    assert covered == list(range(len(words)))


def test_a_known_subject_and_its_verb_are_not_torn() -> None:
    text = "A fox stands on a hill. The fox jumps over a stream, showing its long red tail, creating a sense of calm."
    short = shortened(text, TOKENIZER.count(text) - 10)
    assert "stands on a hill" in short
    assert "jumps" in short
    assert "The jumps" not in short
    assert "sense" not in short


def test_an_abstract_holder_goes_and_what_it_holds_stays() -> None:
    text = "The camera pans right, revealing the majestic expanse of the Forbidden City under a clear blue sky."
    short = shortened(text, TOKENIZER.count(text) - 7)
    assert "Forbidden City" in short
    assert "expanse" not in short
    assert "pans right" in short


def test_a_text_with_steps_is_covered_to_its_end() -> None:
    steps = "First, the camera moves over a lake. Next, the camera moves to a red tent. Then, the camera tilts up to a cliff. "
    text = steps + "Finally, the camera pulls back and shows a large, ancient, weathered stone castle in the distance."
    short = shortened(text, TOKENIZER.count(text) * 2 // 3)
    assert sum(place in short for place in ("lake", "tent", "cliff", "castle")) >= 3


def test_a_chinese_clause_with_a_negation_stays_whole() -> None:
    text = "一只红色的小猫在雪地里奔跑，背景是高山和森林，画面中没有人，天空中飘着白色的云彩，阳光洒在地上。"
    assert "画面中没有人" in shortened(text, TOKENIZER.count(text) // 2)


def test_chinese_tags_in_front_leave_room_for_the_subject() -> None:
    text = "黎明，顶光，俯视角度，日光，长焦，中心构图，近景，高角度拍摄，荧光，柔光，冷色调，在昏暗的环境中，一个女子在水中仰面漂浮。"
    assert "一个女子在水中仰面漂浮" in shortened(text, TOKENIZER.count(text) // 2)


def test_what_a_negation_denies_stays_whole() -> None:
    text = "A zebra stands beside a bear in tall grass under scattered trees. The shot is close-up with no sudden camera movements at all."
    assert "no sudden camera movements" in shortened(text, 16)


def test_a_participle_goes_with_what_it_needs() -> None:
    text = (
        "A corgi runs in a park at sunset. The sky is filled with vibrant hues of orange, pink, and deep purple blending together. "
        * 2
    )
    short = shortened(text, 16)
    assert not short.rstrip(".").endswith("filled")
    assert "filled." not in short
