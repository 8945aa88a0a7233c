"""What is said without showing anything: openings, hedges, praise, comment and closing words."""

from __future__ import annotations

from .grammar import Rule
from .words import MANNERS, MOODS, PRAISE

FILLER_RULES: dict[str, Rule] = {
    "praise": PRAISE,
    "manner": MANNERS,
    "mood": (*MOODS, *MOODS, "<mood> and <mood>", "quiet <mood>", "<praise> <mood>", "pure <mood>"),
    "hollow": ("scene", "moment", "view", "atmosphere", "ambiance", "setting", "tableau", "composition", "image", "visual", "picture"),
    "whole": ("the scene", "the video", "this moment", "the overall mood", "the atmosphere", "the composition", "the whole scene",
              "the overall scene", "every detail", "each frame", "the entire sequence", "the air"),
    "opening": (
        *("in a <praise> <hollow>,", "in this <praise> <hollow>,", "in a <praise> display of <mood>,", "in a <hollow> of <mood>,"),
        *("the video shows", "the scene opens with", "the video opens on", "the scene begins with", "imagine", "picture", "we see"),
        *("a <praise> <hollow> of", "this video features", "the clip depicts", "behold,", "a <praise>, <praise> scene unfolds:"),
        *("in a world of <mood> and <mood>,", "here we have", "the footage captures", "please create a video of", "generate a video of"),
        *("amidst the <praise> <mood> of the day,", "a <praise> and <praise> depiction of", "i would like to see", "in the heart of <mood>,"),
    ),
    "hedge": ("it seems that", "perhaps", "as if by <mood>,", "one can see that", "it appears that", "in what seems like a <hollow>,",
              "we can see how", "seemingly lost in <mood>,", "almost as though in a dream,", "in many ways,", "at this point,"),
    "wrapped": ("lost in thought", "exuding <mood>", "radiating <mood> and <mood>", "wrapped in <mood>", "a picture of <mood>"),
    "tellingly": ("to the delight of the viewer", "in a <praise> way", "with a sense of <mood>", "in perfect harmony", "with <praise> ease"),
    "once": ("once again", "as mentioned", "as before", "in another <praise> moment", "with each passing moment", "all the while"),
    "moment": ("time seems to stand still", "the <hollow> unfolds", "the moment lingers", "the <mood> deepens", "the story goes on"),
    "speaks": ("speaks of <mood>", "tells a story of <mood>", "is a testament to <mood>", "exudes <mood>", "embodies <mood>"),
    "making": ("creating", "adding", "lending", "evoking", "conveying", "bringing", "radiating", "exuding", "enhancing", "inviting"),
    "praising": (
        *("creating a <praise> <hollow>", "adding a sense of <mood> to the <hollow>", "evoking a feeling of <mood>", "<making> <mood>"),
        *("creating a sense of <mood> and <mood>", "adding to the <praise> <hollow>", "as if <telling>", "a testament to <mood>"),
        *("capturing the essence of <mood>", "inviting the viewer to <dwell>", "highlighting the <praise> details", "exuding <mood>"),
        *("enhancing the <praise> <hollow>", "a symbol of <mood>", "embodying <mood>", "making it feel <praise>", "filled with <mood>"),
        *("adding depth and <mood>", "adding a touch of <mood>", "giving it a <praise> quality", "blending <mood> with <mood>"),
        *("reminiscent of a <praise> dream", "lending an air of <mood> to <whole>", "each one <praise>", "showcasing the <mood> of it all"),
    ),
    "telling": ("telling a story of <mood>", "time itself had stopped", "lost in a dream", "inviting us to <dwell>", "whispering of <mood>"),
    "dwell": ("share in the <mood>", "feel the <mood>", "pause and reflect", "lose themselves in the <mood>", "look closer", "dream"),
    "capturing": ("capturing every detail", "capturing the <praise> <hollow>", "emphasizing the <mood>", "revealing the <praise> details",
                  "highlighting its <praise> beauty", "enhancing the sense of <mood>", "bringing the <hollow> to life",
                  "allowing the viewer to <dwell>", "conveying a sense of <mood>", "immersing the viewer in the <mood>"),
    "emphasizes": ("emphasizes the <mood>", "enhances the <praise> <hollow>", "draws the viewer in", "captures the <mood>"),
    "comment": (
        *("<whole> captures the essence of <mood> and <mood>", "<whole> is filled with <mood>", "<whole> is <praise> and <praise>"),
        *("<whole> evokes a sense of <mood>", "<whole> exudes <mood>, <praising>", "it is a <praise> reminder of <mood>", "<whole> is one of <mood>"),
        *("<whole> conveys a feeling of <mood> and <mood>", "<whole> invites the viewer to <dwell>", "the <hollow> is <praise>, <praising>"),
        *("it is a truly <praise> <hollow>", "everything feels <praise> and <praise>", "there is a sense of <mood> in the air"),
        *("<whole> tells a story of <mood> and <mood>", "the <praise> <hollow> celebrates <mood>", "<whole> speaks of <mood>, <praising>"),
        *("the interplay of <mood> and <mood> creates a <praise> <hollow>", "it is as if <whole> were <praise>", "what a <praise> <hollow>"),
        *("the viewer can feel the <mood>", "the <praise> <hollow> leaves a lasting impression of <mood>", "all of this adds to the <mood>"),
        *("high quality, highly detailed, masterpiece", "the textures and details add to the <mood>", "<whole> highlights the beauty of <mood>"),
        *("<whole> is imbued with <mood>, with an emphasis on <mood>", "<whole> blends <mood> and <mood>, <praising>"),
    ),
}
