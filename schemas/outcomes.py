"""Why a video may be rejected: outcomes of the table `videos` that the command line lists, so without pyarrow."""

OF_FILE = ("missing", "refused", "unreadable", "no_video", "no_audio", "timeout", "killed", "taken_down")
OF_CLIPS = ("too_short", "silent", "short_audio", "no_frame")  # of each of its clips
OF_FACES = ("no_face", "small_face", "cut", "partly_tracked")  # of each of its clips, where clips follow faces
REJECTED = OF_FILE + OF_CLIPS + OF_FACES  # what may become of a video beside `kept`
