"""What can go wrong while making pictures, as a tree.

    SovgenError
    ├── BadRecipe            steps, guidance, size, seed or sampler out of range
    ├── BadPlan              a plan, or a file of prompts, that cannot be understood
    ├── BadSettings          the config file or a variable cannot be understood
    ├── ModelMissing         no model of that name or at that path
    ├── ModelDamaged         corrupt, truncated or changed weights
    ├── ModelUnsupported     a pipeline or file that sovgen cannot drive
    ├── UnsafeWeights        a pickle format: refused, never opened
    ├── DeviceMissing        the device asked for is not in this machine
    ├── OutOfMemory          not even one picture fits
    ├── BrokenPicture        the model gave NaN or nothing but black
    ├── QueueDamaged         the queue's file cannot be read or written
    ├── NoSuchJob            no job, or several, of that id
    ├── HubUnreachable       the hub was not reached, or fetching was cut off; what arrived is kept
    ├── NetworkRefused       something tried to leave the machine
    ├── Interrupted          stopped by hand; says what was kept
    ├── BadDataset           a data set that cannot be built or learned from
    ├── BadCheckpoint        damaged, or of another architecture
    ├── NoRoom               the disk is full; what was saved before stands
    └── TrainingDiverged     the loss is no longer a number

What goes wrong in the library is `index.errors`. Every error carries a message and a hint.
"""

from __future__ import annotations


class SovgenError(Exception):
    """Something a person can read and act on: a message and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadRecipe(SovgenError):
    """Steps, guidance, size, seed or sampler out of range.

    field: that of the Recipe, where one alone is wrong
    """

    field: str | None = None


class BadPlan(SovgenError):
    """A plan, or a file of prompts, that cannot be understood."""


class BadSettings(SovgenError):
    """The config file or an environment variable cannot be understood."""


class ModelMissing(SovgenError):
    """No model of that name or at that path."""


class ModelDamaged(SovgenError):
    """Corrupt, truncated or changed weights."""


class ModelUnsupported(SovgenError):
    """A pipeline or file that sovgen cannot drive."""


class UnsafeWeights(SovgenError):
    """A pickle format: refused, never opened."""


class DeviceMissing(SovgenError):
    """The device asked for is not in this machine."""


class OutOfMemory(SovgenError):
    """Not even one picture fits into the device's memory."""


class BrokenPicture(SovgenError):
    """The model gave NaN or nothing but black."""


class QueueDamaged(SovgenError):
    """The queue's file cannot be read or written."""


class NoSuchJob(SovgenError):
    """No job of that id, or more than one."""


class HubUnreachable(SovgenError):
    """The hub was not reached, or fetching a model was cut off; what arrived is kept."""


class NetworkRefused(SovgenError):
    """Something tried to reach beyond this machine."""


class Interrupted(SovgenError):
    """Stopped by hand; the message says what was kept."""


class BadDataset(SovgenError):
    """A data set that cannot be built or learned from."""


class BadCheckpoint(SovgenError):
    """A checkpoint that is damaged or belongs to another architecture."""


class NoRoom(SovgenError):
    """The disk is full; what was saved before stands."""


class TrainingDiverged(SovgenError):
    """The loss is no longer a number; the last good checkpoint stands."""


def first_line(error: BaseException) -> str:
    """What a library's error says, without the pages that may follow."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
