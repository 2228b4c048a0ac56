"""A small world of things that move and sound, rendered to real video files with full ground truth.

A drum is struck and heard, a face speaks what its lips show, a siren turns its light with its tone; in some videos
one hears what one does not see. A world may also have talking heads, who say words. Everything follows from a seed:

    plan_scene    (planning.py)   seed and number -> a scene: things, notes, spans; pure, 0.2 ms
    scenes.py                     what a scene is
    kinds.py identities.py        what the twelve kinds of things and the twelve people are
    lexicon.py talking.py         what talking heads say, and who says it when
    placing.py                    where a thing is, how large it is and in which colours
    motions.py                    notes -> gestures over time, shared by the next two
    sounds.py                     source -> waveform
    sights.py faces.py shapes.py backgrounds.py      thing, gestures -> pixels
    render_scene  (rendering.py)  scene -> <folder>/videos/world_00012.mp4 and its truth
    load_truth, write_labels  (truth.py)  <folder>/truth/world_00012/, <folder>/labels.csv, events.csv, words.csv
    write_masks   (mask_files.py) <folder>/masks/world_00012/500.png, 500.drum.png

Design note: what a video shows and what it sounds like come from the same list of notes,
so synchrony is exact, and every label is known rather than rated.
"""
