"""The .rgru file format: bytes, codes and integers (normative text: format/SPEC.md).

To read a file: ``Reader`` (bytes to events) and ``CodesDecoder`` (groups to codes), or ``inspect``
and ``check`` for a report. To write one: ``CodesEncoder`` (codes to groups) and ``write_file`` or
``Writer``. A ``ContextModel`` is handed to both. Importing this package costs numpy only.
"""

from rgru_format.alpha import alpha_of as alpha_of
from rgru_format.alpha import decode_alpha as decode_alpha
from rgru_format.alpha import encode_alpha as encode_alpha
from rgru_format.boxes import BOX_ALPHA as BOX_ALPHA
from rgru_format.boxes import BOX_COLOUR as BOX_COLOUR
from rgru_format.boxes import BOX_EXIF as BOX_EXIF
from rgru_format.boxes import BOX_ICC as BOX_ICC
from rgru_format.boxes import BOX_XMP as BOX_XMP
from rgru_format.boxes import SRGB as SRGB
from rgru_format.boxes import Box as Box
from rgru_format.boxes import Colour as Colour
from rgru_format.codes import CodesDecoder as CodesDecoder
from rgru_format.codes import CodesEncoder as CodesEncoder
from rgru_format.codes import codes_digest as codes_digest
from rgru_format.container import HEADER_SIZE as HEADER_SIZE
from rgru_format.container import MODEL_ID_SIZE as MODEL_ID_SIZE
from rgru_format.container import SIGNATURE as SIGNATURE
from rgru_format.container import VERSION as VERSION
from rgru_format.container import Header as Header
from rgru_format.container import pack_box as pack_box
from rgru_format.container import pack_group as pack_group
from rgru_format.context.evaluator import Evaluator as Evaluator
from rgru_format.context.model import ContextModel as ContextModel
from rgru_format.context.model import sigmoid_table as sigmoid_table
from rgru_format.context.weights import LayerWeights as LayerWeights
from rgru_format.context.weights import PassWeights as PassWeights
from rgru_format.errors import Damaged as Damaged
from rgru_format.errors import InvalidInput as InvalidInput
from rgru_format.errors import LimitExceeded as LimitExceeded
from rgru_format.errors import ModelMissing as ModelMissing
from rgru_format.errors import NotRgru as NotRgru
from rgru_format.errors import OutOfMemory as OutOfMemory
from rgru_format.errors import RgruError as RgruError
from rgru_format.errors import Unreadable as Unreadable
from rgru_format.errors import UnsupportedVersion as UnsupportedVersion
from rgru_format.events import BoxRead as BoxRead
from rgru_format.events import Ending as Ending
from rgru_format.events import Event as Event
from rgru_format.events import GroupRead as GroupRead
from rgru_format.events import HeaderRead as HeaderRead
from rgru_format.events import NeedMoreData as NeedMoreData
from rgru_format.inspect import Layer as Layer
from rgru_format.inspect import Report as Report
from rgru_format.inspect import check as check
from rgru_format.inspect import inspect as inspect
from rgru_format.limits import POSITION as POSITION
from rgru_format.limits import Limits as Limits
from rgru_format.limits import grid_size as grid_size
from rgru_format.reader import FindModel as FindModel
from rgru_format.reader import Reader as Reader
from rgru_format.writer import Writer as Writer
from rgru_format.writer import cut_to_layers as cut_to_layers
from rgru_format.writer import cut_to_size as cut_to_size
from rgru_format.writer import write_file as write_file
