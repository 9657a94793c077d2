// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Where a contested penalty stands.
///
///   from \ to   OPEN  APPEALED  STANDS  CANCELLED
///   NONE         x
///   OPEN                 x         x
///   APPEALED                       x        x
enum DocketState {
    NONE,
    OPEN,
    APPEALED,
    STANDS,
    CANCELLED
}

/// @notice A heavy penalty, taken from the collateral and not yet given. toClient, burned: its parts. appealUntil: last
/// epoch to appeal in. decideUntil: last epoch to decide in, 0 before an appeal.
struct Docket {
    uint80 toClient;
    uint80 burned;
    uint32 appealUntil;
    uint32 decideUntil;
    DocketState state;
}

/// @notice Appeals against heavy penalties. An agreement's dockets are numbered from 0, one for each settlement or unanswered
/// demand that took a heavy penalty; each has times of its own, so none can delay another. An agreement may be over
/// meanwhile: the money waits here.
interface IDockets {
    error NoDocket(bytes32 id, uint32 number);
    error WrongDocketState(bytes32 id, uint32 number, DocketState state);
    error NotTheProvider(bytes32 id, uint32 member);
    error NotTheOwner(address sender);
    error AppealTooLate(bytes32 id, uint32 number, uint32 until, uint32 epoch);
    error DecisionTooLate(bytes32 id, uint32 number, uint32 until, uint32 epoch);
    /// @notice It may still be appealed against, or decided on.
    error StillContested(bytes32 id, uint32 number, uint32 until, uint32 epoch);
    error ReasonTooLong(uint256 length, uint256 limit);

    event Contested(
        bytes32 indexed id, uint32 indexed number, uint32 epoch, uint256 toClient, uint256 burned, uint32 appealUntil
    );
    event Appealed(
        bytes32 indexed id, uint32 indexed number, uint32 indexed provider, string reason, uint32 decideUntil
    );
    /// @notice A docket is closed: the penalty was given, or it went back to the collateral, or to the provider's account if
    /// the agreement is over.
    event Concluded(
        bytes32 indexed id, uint32 indexed number, bool cancelled, bool decided, uint256 toClient, uint256 burned
    );

    /// @notice Asks the consortium to cancel a heavy penalty. A key of the provider, within appealEpochs.
    /// @param reason What to look at, 256 bytes at most; public.
    function appeal(bytes32 id, uint32 number, string calldata reason) external;

    /// @notice Lets an appealed penalty stand or cancels it, at once and for good. The Directory's owner, within decideEpochs
    /// of the appeal.
    function decide(bytes32 id, uint32 number, bool cancelled) external;

    /// @notice Lets a penalty stand that nobody appealed against, or that was not decided on in time. Anyone.
    function conclude(bytes32 id, uint32 number) external;

    function docketOf(bytes32 id, uint32 number) external view returns (Docket memory);

    /// @notice All dockets of an agreement, oldest first.
    function docketsOf(bytes32 id) external view returns (Docket[] memory);
}
